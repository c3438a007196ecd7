"""A service that is gone: the run pauses as a whole, probes, goes on by itself, and consumes next to nothing."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from batcher.core.breaker import Breaker
from batcher.core.events import Paused, Resumed
from batcher.core.verdict import Judgement, Outcome, Verdict
from batcher.sandbox.fields import Record as Applied
from batcher.settings import Settings
from tests.flow.conftest import kept_port
from tests.flow.mischief import status
from tests.flow.outages import OUTAGES, Outage, Site, by_name
from tests.flow.runs import Run, record

pytestmark = pytest.mark.usefixtures("leaping")

RECORDS = 120
GOOD = 40
"""Records that are applied before the service goes."""
PROBES = 5
"""Probes that fail before it comes back."""
CONNECTIONS = 8
NOTICED = 3 * CONNECTIONS
"""Attempts in vain, at most, until the run has paused; ten uncertain ones in a row, and those in flight with them."""


@dataclass
class Watch:
    """What the breaker of one run did.

    Attributes:
        waits: seconds until each probe, as they were set.
        in_flight: requests when each probe failed, itself included.
    """

    site: Site
    comes_back: bool
    run: Run | None = None
    waits: list[float] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)

    def trip(self, breaker: Breaker, judgement: Judgement, *, probe: bool, now: float, **more: Any) -> None:
        """Stand before the breaker's own."""
        was_open = breaker.is_open
        Breaker.trip(breaker, judgement, probe=probe, now=now, **more)
        if probe or not was_open:
            self.waits.append(breaker.next_probe - now)
        if probe and was_open:
            assert self.run is not None
            self.in_flight.append(self.run.pipeline.submitter.gate.in_flight)
            if len(self.in_flight) == PROBES and self.comes_back:
                self.site.switch(down=False)


@asynccontextmanager
async def there(outage: Outage, monkeypatch: pytest.MonkeyPatch, server_tls: ssl.SSLContext) -> AsyncIterator[Site]:
    """The site of *outage*, still up."""
    strange = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(strange)
    with kept_port() as port:
        site = Site(outage, server_tls, strange, port)
        monkeypatch.setattr(socket, "getaddrinfo", site.resolve(socket.getaddrinfo))
        await site.open()
        try:
            yield site
        finally:
            await site.close()


def make_run(site: Site, watch: Watch, ca_file: str, *, safe: bool, **changes: Any) -> Run:
    """A run of records that are all new, or all safe to send twice, whose breaker is watched."""
    options: dict[str, Any] = {"connections": CONNECTIONS, "stop_after": None, "ca_file": ca_file, "timeout": 20.0}
    options |= {"connect_timeout": 20.0, "retry_budget": 1.0} | changes
    run = watch.run = Run([record(n, safe=safe) for n in range(1, RECORDS + 1)], Settings(endpoint=site.url, **options))
    breaker = run.pipeline.submitter._service.breaker

    def trip(*arguments: Any, **more: Any) -> None:
        watch.trip(breaker, *arguments, **more)

    breaker.trip = trip  # type: ignore[method-assign]  # looks on, and calls the real one
    return run


@pytest.mark.parametrize("safe", [True, False], ids=["safe", "new"])
@pytest.mark.parametrize("outage", [by_name(outage) for outage in OUTAGES])
async def test_a_run_outlives_it(
    outage: Outage,
    monkeypatch: pytest.MonkeyPatch,
    server_tls: ssl.SSLContext,
    ca_file: str,
    *,
    safe: bool,
) -> None:
    """It pauses as a whole, probes one at a time at growing waits, and goes on; what it consumed is counted."""
    async with there(outage, monkeypatch, server_tls) as site:
        watch = Watch(site, comes_back=True)
        run = make_run(site, watch, ca_file, safe=safe)
        if outage.how == "DNS":
            site.switch(down=True)  # what was looked up before is remembered for a while
        else:
            monkeypatch.setattr(site.stage.state, "apply", counting(site, site.stage.state.apply))
        await run()
    assert run.exit_codes == []
    assert set(watch.in_flight) == {1}
    assert watch.waits == pytest.approx([min(0.01, 0.001 * 2**number) for number in range(len(watch.waits))], abs=1e-6)
    assert [type(event) for event in run.events if isinstance(event, Paused | Resumed)] == [Paused, Resumed]
    attempts = run.tally.attempts
    assert attempts[outage.verdict] >= PROBES
    assert sum(attempts.values()) - attempts[Verdict.ACCEPTED] <= NOTICED + PROBES
    if outage.verdict is not Verdict.UNCERTAIN:
        assert attempts[Verdict.UNCERTAIN] <= CONNECTIONS, "only what was in flight when connections were cut"
    doubtful = 0 if safe else attempts[Verdict.UNCERTAIN]
    assert run.outcomes == {"delivered": RECORDS - doubtful} | ({"in_doubt": doubtful} if doubtful else {})
    run.check_truth(site.stage.state.stats().applied)


@pytest.mark.parametrize("outage", [by_name(outage) for outage in OUTAGES])
async def test_a_run_gives_up_when_it_lasts(
    outage: Outage, monkeypatch: pytest.MonkeyPatch, server_tls: ssl.SSLContext, ca_file: str
) -> None:
    """After --max-outage it ends with 7: what was not sent for certain is unsent, and few new records are doubtful."""
    async with there(outage, monkeypatch, server_tls) as site:
        site.switch(down=True)
        await site.moved()
        watch = Watch(site, comes_back=False)
        run = await make_run(site, watch, ca_file, safe=False, max_outage=0.1)()
    assert run.exit_codes == [7]
    attempts = run.tally.attempts
    assert sum(attempts.values()) == attempts[outage.verdict] <= NOTICED + len(watch.in_flight)
    assert set(watch.in_flight) <= {1}
    doubtful = attempts[Verdict.UNCERTAIN]
    assert run.outcomes == {"unsent": RECORDS - doubtful} | ({"in_doubt": doubtful} if doubtful else {})
    unsent = {result.problem.kind for result in run.results if result.problem and result.outcome is Outcome.UNSENT}
    assert unsent == {"outage"}


async def test_a_pause_of_years_is_an_outage_like_any_other(
    monkeypatch: pytest.MonkeyPatch, server_tls: ssl.SSLContext, ca_file: str
) -> None:
    """A server may ask for any Retry-After; --max-outage is the operator's word."""
    outage = Outage("for ever", Verdict.THROTTLED, status(503, ("Retry-After", "999999999")))
    async with there(outage, monkeypatch, server_tls) as site:
        site.switch(down=True)
        run = await make_run(site, Watch(site, comes_back=False), ca_file, safe=False, max_outage=0.1)()
    assert (run.exit_codes, run.outcomes) == ([7], {"unsent": RECORDS})


def counting(site: Site, apply: Callable[[Applied], Applied]) -> Callable[[Applied], Applied]:
    """The site goes down once it has applied enough."""

    def counted(stored: Applied) -> Applied:
        stored = apply(stored)
        if sum(site.stage.state.stats().applied.values()) == GOOD:
            site.switch(down=True)
        return stored

    return counted
