"""A strict order in a whole run: once a record of a key was not delivered, no later one of that key is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from batcher.core.verdict import Outcome
from batcher.errors import ConnectionLost
from batcher.flow.transport import Answer
from batcher.values import Share
from tests.flow.runs import Run, Told, fault, good, key_in, line_of, record, refused, saved, settings

pytestmark = pytest.mark.usefixtures("hurried", "no_task_is_left")


def of_two_keys(count: int, **changes: Any) -> list[dict[str, Any]]:
    """Records of the keys 1 and 2 by turns, each with a name of its own: S-1 on."""
    return [record(number) | {"VeetroID": 1 + (number + 1) % 2} | changes for number in range(1, count + 1)]


def strict(**changes: Any) -> Any:
    return settings(order_by=("VeetroID",), order_strict=True, **changes)


async def third_refused(body: bytes, headers: Mapping[str, str]) -> Answer:
    """S-3 is turned down for good."""
    return fault("No such contact", "Client") if key_in(body) == "S-3" else saved(body)


async def third_lost(body: bytes, headers: Mapping[str, str]) -> Answer:
    """What came of S-3 is never known."""
    if key_in(body) == "S-3":
        raise ConnectionLost("it broke", sent=True)
    return saved(body)


async def all_refused(body: bytes, headers: Mapping[str, str]) -> Answer:
    return await refused(body, headers)


@pytest.mark.parametrize(("say", "outcome"), [(third_refused, "rejected"), (third_lost, "in_doubt")])
async def test_what_was_not_delivered_blocks_its_key_and_no_other(say: Any, outcome: str) -> None:
    """Later records are unsent and name the line; those of another key are delivered."""
    told = Told(say)
    run = await Run(of_two_keys(2000), strict(in_doubt="hold"), told=told)()
    results = run.by_line()
    assert results[3].outcome == outcome
    assert {results[number].outcome for number in (1, *range(2, 2001, 2))} == {Outcome.DELIVERED}
    late = {
        (results[number].outcome, results[number].attempts, results[number].problem) for number in range(5, 2001, 2)
    }
    [(unsent, attempts, problem)] = late
    assert (unsent, attempts) == (Outcome.UNSENT, 0)
    assert problem is not None
    assert problem.kind == "order"
    assert problem.message.startswith("line 3 ")
    assert sorted(told.sent) == sorted(["S-1", "S-3", *(f"S-{number}" for number in range(2, 2001, 2))])
    assert run.exit_codes == []


async def test_without_it_later_records_are_sent() -> None:
    """Which is the default."""
    run = await Run(of_two_keys(20), settings(order_by=("VeetroID",)), told=Told(third_refused))()
    assert run.outcomes == {"delivered": 19, "rejected": 1}


async def test_an_invalid_line_whose_key_can_be_read_blocks_those_behind_it() -> None:
    """Those before it are sent, though they wait when it is read; one whose key is unknown blocks nobody."""
    records: list[Any] = of_two_keys(12)
    records[6] |= {"CurrentStatus": "Nonsense"}
    lines = [line_of(values) for values in records]
    lines[1] = b'{"VeetroID": 2'
    told = Told(good)
    run = await Run(lines, strict(), told=told)()
    outcomes = {number: result.outcome.value for number, result in run.by_line().items()}
    delivered = dict.fromkeys((1, 3, 4, 5, 6, 8, 10, 12), "delivered")
    assert outcomes == delivered | {2: "invalid", 7: "invalid", 9: "unsent", 11: "unsent"}
    assert told.sent[:1] == ["S-1"]


async def test_a_record_without_a_key_is_never_blocked() -> None:
    """There is none that it could follow."""
    run = await Run(of_two_keys(40, VeetroID=0), strict(), told=Told(third_refused))()
    assert run.outcomes == {"delivered": 39, "rejected": 1}


async def test_blocked_records_count_as_not_delivered_for_a_stop_rule() -> None:
    """A bound on records that are not delivered hears of them; the default one speaks of what was sent."""
    bound = await Run(of_two_keys(400), strict(stop_after=Share(50)), told=Told(third_refused))()
    assert bound.exit_codes == [5]
    default = await Run(of_two_keys(400), strict(stop_after="default"), told=Told(all_refused))()
    assert (default.exit_codes, default.outcomes) == ([], {"rejected": 2, "unsent": 398})
