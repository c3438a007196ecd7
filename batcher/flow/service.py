"""What the workers share to reach the service."""

from __future__ import annotations

from dataclasses import dataclass

from batcher.core.breaker import Breaker
from batcher.core.limit import Limit
from batcher.core.reply import Judge
from batcher.core.retry import Policy, RetryBudget
from batcher.flow.session import Session
from batcher.flow.transport import Transport


@dataclass(slots=True)
class Service:
    """What the workers share to reach the service.

    Attributes:
        transport: carries one exchange.
        session: gives it its headers.
        judge: says what came of it.
        policy: what the operator allows.
        limit: how many may be in flight.
        breaker: whether the service is taken to be down.
        budget: how many retries there may be.
    """

    transport: Transport
    session: Session
    judge: Judge
    policy: Policy
    limit: Limit
    breaker: Breaker
    budget: RetryBudget
