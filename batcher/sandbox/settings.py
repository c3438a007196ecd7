"""How a sandbox behaves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from batcher.sandbox.faults import checked_faults
from batcher.sandbox.replies import SESSION_LOSSES

__all__ = ["SandboxSettings"]


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Everything that can be chosen; the defaults are a service that is always well.

    Attributes:
        host: the address to listen on.
        port: 0 for one that the system picks.
        latency: seconds that a call takes.
        capacity: calls worked on at once; more wait their turn, and when eight times as many wait, the next gets a 503.
            None for no bound.
        faults: share of the calls, 0 to 1, that each kind of fault hits.
        seed: the same seed draws the same faults.
        login: (email, password) that AuthenticateWebSafe takes. Every other call then needs the session's key in its
            `VeetroSession` header. None: any login succeeds, and none is needed.
        session_calls: calls after which a session ends; None for never.
        session_loss: what a call without a valid session gets: a Server `fault`, `401`, a `redirect` or an `html` page.

    Raises:
        ValueError: a value that makes no sense; the text says which and what would.
    """

    host: str = "127.0.0.1"
    port: int = 0
    latency: float = 0.0
    capacity: int | None = None
    faults: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    login: tuple[str, str] | None = None
    session_calls: int | None = None
    session_loss: str = "fault"

    def __post_init__(self) -> None:
        checked_faults(self.faults)
        if self.latency < 0:
            raise ValueError(f"latency must not be negative, not {self.latency}")
        if self.capacity is not None and self.capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {self.capacity}")
        if self.session_loss not in SESSION_LOSSES:
            raise ValueError(f"session_loss must be one of {', '.join(SESSION_LOSSES)}, not {self.session_loss!r}")
