"""The numbers of a run that has ended: in a file, pushed, or served until somebody has got them."""

from __future__ import annotations

import json
import signal
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batcher.sandbox import Sandbox
from tests.e2e.program import PATIENCE_S, Program, lines, many, record, wait_for_line
from tests.e2e.servers import Background

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Background() as background, background.sandbox() as running:
        yield running


class Gateway(BaseHTTPRequestHandler):
    """Takes what is pushed, as a Pushgateway does, and answers with the status that it is told."""

    pushed: list[tuple[str, str, str]]
    status: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.pushed.append((self.command, self.path, body))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[tuple[str, type[Gateway]]]:
    """Its address, and what it got."""
    handler = type("Taking", (Gateway,), {"pushed": [], "status": 200})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def values_of(text: str) -> Values:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def check(values: Values, summary: dict[str, Any]) -> None:
    """The same numbers as in the summary, and none of the process."""
    assert {name.startswith("veetro_batch_") for name, _ in values} == {True}
    for outcome, count in summary["outcomes"].items():
        assert values["veetro_batch_records_total", (("outcome", outcome),)] == count
    for verdict, count in summary["attempts"].items():
        if verdict != "total":
            assert values["veetro_batch_attempts_total", (("verdict", verdict),)] == count
    ((_, labels),) = [key for key in values if key[0] == "veetro_batch_last_completion_timestamp_seconds"]
    assert labels == (("exit_code", str(summary["exit_code"])),)
    assert (("veetro_batch_last_success_timestamp_seconds", ()) in values) == (summary["exit_code"] == 0)


@pytest.mark.parametrize(("given", "code"), [(many(5), 0), (lines(record(1), {}), 3)])
def test_a_file(program: Program, sandbox: Sandbox, given: bytes, code: int) -> None:
    """--metrics-file holds the run's own numbers, as in the summary; it is its owner's alone."""
    done = program.run("--endpoint", sandbox.url, "--metrics-file=run.prom", "--summary=summary", given=given)
    file = program.directory / "run.prom"
    assert (done.code, file.stat().st_mode & 0o777) == (code, 0o600)
    check(values_of(file.read_text()), json.loads((program.directory / "summary").read_text()))
    assert {path.name for path in program.directory.iterdir()} == {"run.prom", "summary"}


def test_a_file_keeps_its_permissions(program: Program, sandbox: Sandbox) -> None:
    """A file that is there already is replaced whole and keeps the mode that its reader needs; the report does not."""
    for name in ("run.prom", "report.html"):
        (program.directory / name).write_text("before")
        (program.directory / name).chmod(0o644)
    before = (program.directory / "run.prom").stat().st_ino
    options = ("--metrics-file=run.prom", "--report=report.html")
    assert program.run("--endpoint", sandbox.url, *options, given=many(2)).code == 0
    assert (program.directory / "run.prom").stat().st_mode & 0o777 == 0o644
    assert (program.directory / "run.prom").stat().st_ino != before
    assert "before" not in (program.directory / "run.prom").read_text()
    assert (program.directory / "report.html").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("option", ["--metrics-file", "--report"])
def test_a_file_that_cannot_be_written_is_told_of_first(program: Program, sandbox: Sandbox, option: str) -> None:
    """Where the file could not be written, nothing is sent: the error comes before, with exit 9."""
    before = sandbox.stats().requests
    done = program.run("--endpoint", sandbox.url, f"{option}=nowhere/file", given=many(2))
    assert (done.code, done.out) == (9, b"")
    assert "nowhere/file cannot be written: No such file or directory" in done.err
    assert sandbox.stats().requests == before


def test_a_push(program: Program, sandbox: Sandbox, gateway: tuple[str, type[Gateway]]) -> None:
    """--pushgateway gets the final numbers in one POST, grouped by job alone."""
    url, got = gateway
    done = program.run("--endpoint", sandbox.url, "--pushgateway", url, "--summary=summary", given=many(3))
    ((method, path, body),) = got.pushed
    assert (done.code, method, path) == (0, "POST", "/metrics/job/veetro-batch")
    check(values_of(body), json.loads((program.directory / "summary").read_text()))


def test_a_push_that_fails_costs_nothing(
    program: Program, sandbox: Sandbox, gateway: tuple[str, type[Gateway]]
) -> None:
    """A Pushgateway that refuses is warned of; the run ends as it would have."""
    url, got = gateway
    got.status = 500
    done = program.run("--endpoint", sandbox.url, "--pushgateway", url, given=many(3))
    assert (done.code, len(done.results)) == (0, 3)
    assert "warning push_failed" in done.err


def fetch(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return str(answer.read().decode())


def test_lingering_ends_with_the_scrape_of_the_final_numbers(program: Program, sandbox: Sandbox) -> None:
    """The process stays until its final numbers were scraped, whole, and then ends at once; looking earlier is none."""
    process = program.start(
        *("--endpoint", sandbox.url, "--metrics-port=0", "--metrics-linger=600", "--summary=summary", "--progress=off")
    )
    url = wait_for_line(process.stderr, "metrics at").split()[-1]
    assert process.stdin is not None
    process.stdin.write(many(3))
    process.stdin.flush()
    while 'outcome="delivered"} 3.0' not in (text := fetch(url)):
        assert "last_completion" not in text
    process.stdin.close()
    while "last_completion" not in text:
        text = fetch(url)
    assert process.wait(PATIENCE_S) == 0
    assert values_of(text)["veetro_batch_last_completion_timestamp_seconds", (("exit_code", "0"),)] > 1e9


def test_the_end_is_served_while_it_lingers(program: Program, sandbox: Sandbox) -> None:
    """Status, page and readiness tell of the end; a signal ends the waiting and changes nothing of the outcome."""
    process = program.start(
        *("--endpoint", sandbox.url, "--metrics-port=0", "--metrics-linger=600", "--results=none", "--progress=off")
    )
    url = wait_for_line(process.stderr, "metrics at").split()[-1]
    assert process.stdin is not None
    process.stdin.write(lines(record(1), {}))
    process.stdin.close()
    wait_for_line(process.stderr, "(exit 3)")
    assert json.loads(fetch(url.replace("/metrics", "/status")))["exit_code"] == 3
    view = json.loads(fetch(url.replace("/metrics", "/view.json")))
    assert (view["summary"]["exit_code"], view["live"]) == (3, None)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 3


def test_lingering_ends_by_itself(program: Program, sandbox: Sandbox) -> None:
    """Where nobody scrapes, it ends when its time is over."""
    done = program.run("--endpoint", sandbox.url, "--metrics-port=0", "--metrics-linger=300ms", given=many(1))
    assert done.code == 0


def test_lingering_without_a_port_is_refused(program: Program, sandbox: Sandbox) -> None:
    """Waiting for a scrape of nothing is a contradiction."""
    done = program.run("--endpoint", sandbox.url, "--metrics-linger=5", given=many(1))
    assert done.code == 2
    assert "--metrics-linger" in done.err
    assert "--metrics-port" in done.err


@pytest.mark.parametrize("other", ["--summary", "--ledger", "--metrics-file", "--results"])
def test_no_file_is_written_twice(program: Program, sandbox: Sandbox, other: str) -> None:
    """The report has a path of its own."""
    done = program.run("--endpoint", sandbox.url, "--report=one", f"{other}=./one", given=many(1))
    assert done.code == 2
    assert "give it a path of its own" in done.err
    assert not list(program.directory.iterdir())
