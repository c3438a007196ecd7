"""What a script that starts the program sees at its end, and which code wins where several hold."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

from tests.e2e.conftest import StartRaw, StartSandbox
from tests.e2e.program import Program, lines, many, record
from tests.e2e.servers import Request, http, saved

REFUSED = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode>'
    b"<faultstring>Input string was not in a correct format.</faultstring></s:Fault></s:Body></s:Envelope>"
)


async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
    """What SourceID asks for: ``refuse``, ``reset`` (the connection), anything else is saved."""
    wish = request.source_id.partition("-")[0]
    if wish == "reset":
        writer.close()
    elif wish == "refuse":
        writer.write(http("500 Internal Server Error", REFUSED))
    else:
        writer.write(http("200 OK", saved(request)))


def wish(what: str, number: int, **fields: object) -> dict[str, object]:
    return record(number, SourceID=f"{what}-{number}", **fields)


def test_finished(program: Program, start_raw: StartRaw) -> None:
    """3 with a rejected or invalid record, 4 with one in doubt; and 4 where both hold."""
    url = start_raw(answer).url
    doubtful = wish("reset", 1, ImportSyncRecordID=0)
    given = {
        "rejected": lines(wish("refuse", 1), record(2)),
        "invalid": lines({}, record(2)),
        "in doubt": lines(doubtful, record(2)),
        "both": lines(doubtful, {}, wish("refuse", 3)),
    }
    done = dict(zip(given, program.run_each((("--endpoint", url), text) for text in given.values()), strict=True))
    assert {name: (run.code, run.outcomes) for name, run in done.items()} == {
        "rejected": (3, {"rejected": 1, "delivered": 1}),
        "invalid": (3, {"invalid": 1, "delivered": 1}),
        "in doubt": (4, {"in_doubt": 1, "delivered": 1}),
        "both": (4, {"in_doubt": 1, "invalid": 1, "rejected": 1}),
    }
    assert done["rejected"].results[0]["error"] == {
        "kind": "client_fault",
        "message": "Input string was not in a correct format.",
        "fault_code": "Client",
        "http_status": 500,
    }
    in_doubt = done["in doubt"].results[0]
    assert (in_doubt["attempts"], in_doubt["error"]["kind"]) == (1, "connection_lost")


def test_allow_rejected(program: Program, start_raw: StartRaw) -> None:
    """So many rejected and invalid records, or such a share of all, still end in 0."""
    url = start_raw(answer).url
    given = lines({}, wish("refuse", 2), record(3), record(4))
    allowed = ("2", "1", "50%", "49%")
    done = program.run_each((("--endpoint", url, "--allow-rejected", amount), given) for amount in allowed)
    assert [run.outcomes for run in done] == [{"invalid": 1, "rejected": 1, "delivered": 2}] * 4
    assert {amount: run.code for amount, run in zip(allowed, done, strict=True)} == {"2": 0, "1": 3, "50%": 0, "49%": 3}


def test_stop_after_a_number(program: Program, start_raw: StartRaw) -> None:
    """5 once so many were not delivered; what was read and not sent is unsent, and the rest is not read to its end."""
    given = lines(*(wish("refuse", number) for number in range(1, 4001)))
    done = program.run("--endpoint", start_raw(answer).url, "--stop-after=3", "--connections=1", given=given)
    assert done.code == 5
    assert set(done.outcomes) == {"rejected", "unsent"}
    assert done.outcomes["rejected"] == 3
    assert len(done.results) < 4000
    assert [entry["line"] for entry in done.results] == list(range(1, len(done.results) + 1))
    unsent = done.results[-1]
    assert (unsent["attempts"], unsent["error"]["kind"]) == (0, "stopped")
    assert f"line {len(done.results):,}" in done.err


def test_stop_rules(program: Program, start_raw: StartRaw) -> None:
    """By default a run stops when the first 100 were all rejected; a share counts from 100 on; none never stops."""
    url = start_raw(answer).url
    refused = [wish("refuse", number) for number in range(1, 151)]
    given = {
        (): lines(*refused),
        ("--stop-after=none",): lines(*refused),
        ("--stop-after=90%",): lines(*refused),
        ("--stop-after=default",): lines(record(0), *refused),
    }
    runs = ((("--endpoint", url, "--connections=4", *options), text) for options, text in given.items())
    done = dict(zip(given, program.run_each(runs), strict=True))
    assert {options: run.code for options, run in done.items()} == {
        (): 5,
        ("--stop-after=none",): 3,
        ("--stop-after=90%",): 5,
        ("--stop-after=default",): 3,
    }
    assert done[("--stop-after=none",)].outcomes == {"rejected": 150}
    for options in ((), ("--stop-after=90%",)):
        # Up to three more were in flight.
        assert 100 <= done[options].outcomes["rejected"] <= 103
        assert sum(done[options].outcomes.values()) == 150


def test_unusable_service(program: Program, start_sandbox: StartSandbox) -> None:
    """7 where nothing listens, where the login is refused and where every answer is 404; no record is consumed."""
    secret = program.directory / "password"
    secret.write_text("wrong\n")
    login = start_sandbox(login=("ann@example.org", "right"))
    lost = start_sandbox(faults={"not_found": 1.0})
    options = [
        ("--endpoint=http://127.0.0.1:9/xml", "--max-outage=0.3"),
        ("--endpoint", login.url, "--email=ann@example.org", "--password-file", secret),
        ("--endpoint", lost.url, "--max-outage=0.3"),
    ]
    done = program.run_each((each, many(20)) for each in options)
    assert [run.code for run in done] == [7, 7, 7]
    assert [run.outcomes for run in done] == [{"unsent": 20}] * 3
    assert {entry["error"]["kind"] for run in done for entry in run.results} == {"outage"}
    assert "Connection refused" in done[0].err
    assert "Not_Found" in done[1].err
    assert login.stats().requests == 1
    assert login.stats().applied == lost.stats().applied == {}


def test_precedence(program: Program, start_raw: StartRaw) -> None:
    """9 before 5 before 7 before 6 before 4 before 3, as far as a run can meet two at once."""
    url = start_raw(answer).url
    cut = program.directory / "cut.gz"
    cut.write_bytes(gzip.compress(lines({}, wish("reset", 2, ImportSyncRecordID=0), record(3)))[:-4])
    unusable = ("--endpoint=http://127.0.0.1:9/xml", "--max-outage=0.2")
    doubtful = lines(wish("reset", 1, ImportSyncRecordID=0))
    runs: list[tuple[tuple[str | Path, ...], bytes]] = [
        (("--endpoint", url, cut), b""),  # 9, 4, 3
        (("--endpoint", url, "--stop-after=1", "--results=/dev/full"), doubtful),  # 9, 5, 4
        ((*unusable, "--results=/dev/full"), many(1)),  # 9, 7
        (("--endpoint", url, "--stop-after=1"), doubtful),  # 5, 4
        (unusable, lines({}, record(2))),  # 7, 3
        ((*unusable, "--stop-after=1"), lines({}, record(2))),  # 5, 3
    ]
    assert [done.code for done in program.run_each(runs)] == [9, 9, 9, 5, 7, 5]


USAGE = (
    ((), "--endpoint"),
    (("--endpoint=http://127.0.0.1/", "--concurrency=9", "--connections=8"), "--concurrency"),
    (("--endpoint=http://127.0.0.1/", "--order-by=SourceId"), "did you mean SourceID?"),
    (("--endpoint=http://127.0.0.1/", "--ca-file=missing.pem"), "--ca-file"),
    (("--endpoint=http://crm.example.org/", "--email=a", "--password-file=p"), "--endpoint"),
    (("--endpoint=http://127.0.0.1/", "--email=a", "--password-file=p"), "--password-file"),
    (("--endpoint=http://127.0.0.1/", "--session-file=missing"), "--session-file"),
    (("--endpoint=http://127.0.0.1/", "--password=hunter2"), "--password"),
)


def test_usage(program: Program) -> None:
    """2 for settings that make no sense, before anything is opened: one line says which and why."""
    (program.directory / "results").write_text("precious\n")
    done = program.run_each(((*arguments, "--results=results"), many(1)) for arguments, _ in USAGE)
    for run, (_, said) in zip(done, USAGE, strict=True):
        assert (run.code, run.out) == (2, b"")
        assert run.err.startswith("veetro-batch: error: ")
        assert run.err.count("\n") == 1
        assert said in run.err
        assert "hunter2" not in run.err
    assert (program.directory / "results").read_text() == "precious\n"
