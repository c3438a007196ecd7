from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import re
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from batcher import __version__
from batcher.core.events import Draining, Paused, Resumed
from batcher.core.latency import EXPOSED_BOUNDS
from batcher.core.slots import STATES
from batcher.core.verdict import Outcome, Verdict
from batcher.errors import SettingsError
from batcher.observe.exporter import Exporter
from batcher.observe.metrics import make_registry
from batcher.observe.recorder import Recorder
from batcher.observe.summary import Summary
from batcher.observe.tally import FAULT_ACTIONS, FAULT_CODES, HTTP_CODES, Tally
from batcher.observe.view import Report

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
async def exporter(told: Tally) -> AsyncIterator[Exporter]:
    view = Report(summary=Summary.of(told), timeline=Recorder(told).timeline)
    exporter = Exporter(told, make_registry(told), lambda: Summary.of(told).to_json(), view.to_json, port=0)
    async with exporter:
        yield exporter


@pytest.fixture
async def client(exporter: Exporter) -> AsyncIterator[aiohttp.ClientSession]:
    base = f"http://127.0.0.1:{exporter.port}"
    async with aiohttp.ClientSession(base, auto_decompress=False, skip_auto_headers=["Accept-Encoding"]) as session:
        yield session


async def scrape(client: aiohttp.ClientSession) -> Samples:
    async with client.get("/metrics") as answer:
        assert answer.status == 200
        return samples_of(await answer.text())


def samples_of(text: str) -> Samples:
    return {
        (sample.name.removeprefix("veetro_batch_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def by_label(samples: Samples, name: str, label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for (at, labels), value in samples.items() if at == name}


def alone(samples: Samples, name: str) -> float:
    return samples[name, frozenset()]


async def test_a_scrape_tells_the_counts(client: aiohttp.ClientSession) -> None:
    """What was counted is what a scrape over HTTP shows, label by label."""
    samples = await scrape(client)
    assert by_label(samples, "records_total", "outcome") == {
        "delivered": 2, "rejected": 1, "invalid": 1, "in_doubt": 1, "unsent": 1,
    }  # fmt: skip
    assert by_label(samples, "attempts_total", "verdict") == dict.fromkeys(Verdict, 0) | {
        "accepted": 2, "faulted": 2, "uncertain": 1, "no_session": 1, "throttled": 1,
    }  # fmt: skip
    assert by_label(samples, "retries_total", "reason") == {
        "faulted": 1, "no_session": 1, "throttled": 1, "misdirected": 0, "not_sent": 0, "uncertain": 0,
    }  # fmt: skip
    responses = by_label(samples, "http_responses_total", "code")
    assert (responses["200"], responses["500"], responses["503"], responses["other"]) == (2, 3, 1, 0)
    assert len(responses) == 16
    faults = {
        (dict(labels)["code"], dict(labels)["action"]): value
        for (name, labels), value in samples.items()
        if name == "faults_total"
    }
    assert len(faults) == 20
    assert sum(faults.values()) == 3
    assert faults["Server", "retried"] == faults["Server", "final"] == faults["Client", "session"] == 1
    assert by_label(samples, "session_logins_total", "result") == {"success": 1, "refused": 0, "failed": 0}
    assert by_label(samples, "build_info", "version") == {__version__: 1}
    for name, value in {
        "input_records_total": 7,
        "input_bytes_total": 700,
        "input_read_bytes_total": 707,
        "input_size_bytes": 0,
        "mismatched_results_total": 1,
        "request_bytes_total": 9100,
        "response_bytes_total": 3550,
        "records_in_flight": 1,
        "records_waiting": 2,
        "concurrency_limit": 16,
        "connections_opened_total": 5,
        "breaker_open": 0,
    }.items():
        assert alone(samples, name) == value, name
    assert by_label(samples, "connections", "state") == {"active": 1, "idle": 3}


async def test_histograms_are_whole(client: aiohttp.ClientSession) -> None:
    """Both histograms have every bucket for every label value; they rise to the count, and the sums are right."""
    samples = await scrape(client)
    for name, label, words in (("request", "verdict", tuple(Verdict)), ("record", "outcome", tuple(Outcome))):
        for word in words:
            buckets = {
                dict(labels)["le"]: value
                for (at, labels), value in samples.items()
                if at == f"{name}_duration_seconds_bucket" and dict(labels)[label] == word
            }
            assert list(map(float, buckets)) == [*EXPOSED_BOUNDS, float("inf")]
            assert list(buckets.values()) == sorted(buckets.values())
            assert buckets["+Inf"] == by_label(samples, f"{name}_duration_seconds_count", label)[word]
    accepted = {
        float(dict(labels)["le"]): value
        for (at, labels), value in samples.items()
        if at == "request_duration_seconds_bucket" and dict(labels)["verdict"] == "accepted"
    }
    assert (accepted[0.01], accepted[0.025], accepted[0.05]) == (0, 1, 2)
    assert by_label(samples, "request_duration_seconds_sum", "verdict")["accepted"] == pytest.approx(0.06)
    assert by_label(samples, "record_duration_seconds_sum", "outcome")["in_doubt"] == pytest.approx(120.5)


def expose(tally: Tally, accept: str = "") -> str:
    from prometheus_client.exposition import choose_encoder

    return choose_encoder(accept)[0](make_registry(tally)).decode()


def test_slot_seconds_are_told_by_state(tally: Tally) -> None:
    """Every state is there from the beginning, at 0, and shows what the account says."""
    assert by_label(samples_of(expose(tally)), "slot_seconds_total", "state") == dict.fromkeys(STATES, 0.0)
    tally.slot_seconds = lambda: {"server": 12.5, "input": 3.0}
    shown = by_label(samples_of(expose(tally)), "slot_seconds_total", "state")
    assert shown == dict.fromkeys(STATES, 0.0) | {"server": 12.5, "input": 3.0}


def test_everything_but_instants_is_there_before_anything_happens(tally: Tally) -> None:
    """A run that has not begun shows all its series at 0; of the instants only its start."""
    own = {
        (name, labels): value
        for (name, labels), value in samples_of(expose(tally)).items()
        if not name.startswith(("python_", "process_"))
    }
    instants = {name for name, _ in own if "timestamp" in name}
    assert instants == {"start_timestamp_seconds"}
    assert {value for (name, _), value in own.items() if name not in {"build_info", *instants}} == {0}
    assert {name for name, _ in own} >= {"records_total", "paused", "event_loop_lag_seconds_count", "faults_total"}


def test_no_creation_times_and_the_librarys_own_collectors(tally: Tally) -> None:
    """There are no ``_created`` series; the process, platform and garbage collector are told too."""
    text = expose(tally)
    assert "_created" not in text
    names = {name for name, _ in samples_of(text)}
    assert {"process_resident_memory_bytes", "python_info", "python_gc_collections_total"} <= names


def test_pauses_show_while_they_last(tally: Tally) -> None:
    """A pause is 1 under its reason until it ends; an outage opens the breaker."""
    tally.notice(Paused("outage", "connection refused", None))
    samples = samples_of(expose(tally))
    assert by_label(samples, "paused", "reason") == {"outage": 1, "throttled": 0, "session": 0}
    assert alone(samples, "breaker_open") == 1
    tally.notice(Resumed("outage", 1.0))
    assert by_label(samples_of(expose(tally)), "paused", "reason")["outage"] == 0


@pytest.mark.parametrize(("exit_code", "success"), [(0, True), (3, False)])
def test_the_end_is_an_instant(told: Tally, exit_code: int, *, success: bool) -> None:
    """The end is told under its exit code, and as a success for 0 alone; progress is the last outcome's instant."""
    told.end(exit_code)
    samples = samples_of(expose(told))
    assert by_label(samples, "last_completion_timestamp_seconds", "exit_code") == {str(exit_code): 1_700_000_010.0}
    assert alone(samples, "start_timestamp_seconds") == 1_700_000_000.0
    assert alone(samples, "last_progress_timestamp_seconds") == 1_700_000_008.0
    assert (("last_success_timestamp_seconds", frozenset()) in samples) == success


def test_the_input_size_shows_once_it_is_known(tally: Tally) -> None:
    """The size that was set from outside is told in bytes, and beside it how much of that was read."""
    tally.input_size, tally.input_read = 12345, lambda: 2345
    samples = samples_of(expose(tally))
    assert (alone(samples, "input_size_bytes"), alone(samples, "input_read_bytes_total")) == (12345, 2345)


def test_loop_lag_is_a_histogram(tally: Tally) -> None:
    """Lateness of the event loop counts in its buckets."""
    tally.loop_lag.observe(0.02)
    samples = samples_of(expose(tally))
    lag = by_label(samples, "event_loop_lag_seconds_bucket", "le")
    assert (lag["0.01"], lag["0.025"], lag["+Inf"]) == (0, 1, 1)
    assert alone(samples, "event_loop_lag_seconds_sum") == pytest.approx(0.02)


async def test_openmetrics_is_served_to_whom_asks_for_it(client: aiohttp.ClientSession) -> None:
    """The OpenMetrics form is negotiated, and the library's own strict parser accepts it."""
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with client.get("/metrics", headers=headers) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        text = await answer.text()
    families = {family.name: family for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]  # has no types
    delivered = families["veetro_batch_records"].samples[0]
    assert (delivered.labels, delivered.value) == ({"outcome": "delivered"}, 2)


async def test_gzip_is_used_where_it_is_accepted(client: aiohttp.ClientSession) -> None:
    """A scraper that accepts gzip gets it, and the same content; another gets plain text."""
    async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        zipped = samples_of(gzip.decompress(await answer.read()).decode())
    async with client.get("/metrics") as answer:
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        plain = samples_of(await answer.text())
    assert by_label(zipped, "records_total", "outcome") == by_label(plain, "records_total", "outcome")
    assert zipped.keys() == plain.keys()


async def test_health_and_readiness(client: aiohttp.ClientSession, told: Tally) -> None:
    """Health is given while the loop turns; readiness is lost by a pause, by draining and by the end, and says why."""

    async def ask(path: str) -> tuple[int, str]:
        async with client.get(path) as answer:
            return answer.status, (await answer.text()).strip()

    assert await ask("/healthz") == (200, "ok")
    assert await ask("/readyz") == (200, "ok")
    told.notice(Paused("throttled", "503", 3.0))
    assert await ask("/readyz") == (503, "paused: throttled")
    told.notice(Resumed("throttled", 3.0))
    assert await ask("/readyz") == (200, "ok")
    told.notice(Draining("SIGTERM"))
    assert await ask("/readyz") == (503, "draining: SIGTERM")
    told.end(6)
    assert await ask("/readyz") == (503, "ended")
    assert await ask("/healthz") == (200, "ok")


async def test_status_is_the_summary_so_far(client: aiohttp.ClientSession, told: Tally) -> None:
    """``/status`` is the summary as JSON, without an exit code while the run lasts."""
    async with client.get("/status") as answer:
        assert answer.content_type == "application/json"
        status = orjson.loads(await answer.read())
    assert status == orjson.loads(orjson.dumps(Summary.of(told).to_json()))
    assert status["exit_code"] is None
    assert status["outcomes"]["delivered"] == 2


async def test_nothing_else_is_served(client: aiohttp.ClientSession) -> None:
    """Another path is 404 and names those there are; another method is 405; HEAD has no body."""
    async with client.get("/elsewhere") as answer:
        assert answer.status == 404
        assert "/metrics" in await answer.text()
    async with client.post("/metrics", data=b"x") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    async with client.head("/metrics") as answer:
        assert answer.status == 200
        assert await answer.read() == b""


async def test_a_port_in_use_is_an_error_of_its_option(exporter: Exporter, told: Tally) -> None:
    """A second exporter on the same port names the option, the port and what to do; the first still answers."""
    second = Exporter(told, make_registry(told), dict, dict, port=exporter.port)
    with pytest.raises(SettingsError, match=f"port {exporter.port} on 127.0.0.1 is already in use") as caught:
        await second.__aenter__()
    assert caught.value.option == "--metrics-port"
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{exporter.port}/healthz") as answer:
        assert answer.status == 200


async def test_a_foreign_address_is_an_error_of_its_option(told: Tally) -> None:
    """An address that is not this machine's (RFC 5737 keeps this one for examples) is --metrics-host's fault."""
    with pytest.raises(SettingsError, match=r"203\.0\.113\.1 is no address of this machine") as caught:
        await Exporter(told, make_registry(told), dict, dict, port=0, host="203.0.113.1").__aenter__()
    assert caught.value.option == "--metrics-host"


async def test_the_page_is_served_with_a_policy_that_forbids_all_else(client: aiohttp.ClientSession) -> None:
    """The page's policy names its own style and script by their hashes, its own server, and nothing else."""
    async with client.get("/") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        text = await answer.text()
    for kind, tag in (("script", "<script>"), ("style", "<style>")):
        inside = text.partition(tag)[2].partition(f"</{kind}>")[0]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert policy.pop(f"{kind}-src") == f"'sha256-{digest}'"
    assert policy == {
        "default-src": "'none'", "connect-src": "'self'", "img-src": "data:", "base-uri": "'none'",
        "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert "https://" not in re.sub(r"/\*!.*?\*/", "", text)


async def test_the_view_is_what_the_page_shows(client: aiohttp.ClientSession) -> None:
    """``/view.json`` tells the summary's numbers and is kept by nobody; no record is in it."""
    async with client.get("/view.json") as answer:
        assert (answer.content_type, answer.headers["Cache-Control"]) == ("application/json", "no-store")
        view = orjson.loads(await answer.read())
    assert view["summary"]["outcomes"]["delivered"] == 2
    assert view["ending"] == "running"


VERDICTS = {str(verdict) for verdict in Verdict}
OUTCOMES = {str(outcome) for outcome in Outcome}
PUBLIC: dict[str, tuple[str, dict[str, set[str]]]] = {
    "build_info": ("gauge", {"version": {__version__}}),
    "input_records": ("counter", {}),
    "input_bytes": ("counter", {}),
    "input_read_bytes": ("counter", {}),
    "input_size_bytes": ("gauge", {}),
    "resumed_records": ("counter", {}),
    "records": ("counter", {"outcome": OUTCOMES}),
    "records_in_flight": ("gauge", {}),
    "records_waiting": ("gauge", {}),
    "attempts": ("counter", {"verdict": VERDICTS}),
    "http_responses": ("counter", {"code": set(HTTP_CODES)}),
    "faults": ("counter", {"code": set(FAULT_CODES), "action": set(FAULT_ACTIONS)}),
    "mismatched_results": ("counter", {}),
    "retries": ("counter", {"reason": VERDICTS - {"accepted", "refused"}}),
    "request_duration_seconds": ("histogram", {"verdict": VERDICTS}),
    "record_duration_seconds": ("histogram", {"outcome": OUTCOMES}),
    "request_bytes": ("counter", {}),
    "response_bytes": ("counter", {}),
    "concurrency_limit": ("gauge", {}),
    "connections": ("gauge", {"state": {"active", "idle"}}),
    "connections_opened": ("counter", {}),
    "paused": ("gauge", {"reason": {"outage", "throttled", "session"}}),
    "breaker_open": ("gauge", {}),
    "session_logins": ("counter", {"result": {"success", "refused", "failed"}}),
    "ledger_commit_duration_seconds": ("histogram", {}),
    "ledger_uncommitted_records": ("gauge", {}),
    "event_loop_lag_seconds": ("histogram", {}),
    "start_timestamp_seconds": ("gauge", {}),
    "last_progress_timestamp_seconds": ("gauge", {}),
    "last_completion_timestamp_seconds": ("gauge", {"exit_code": {"0"}}),
    "last_success_timestamp_seconds": ("gauge", {}),
}
"""What dashboards and alerts rely on: each family, its type, and every value of each of its labels."""


def test_the_public_names(told: Tally) -> None:
    """Every promised name is there with its type, its labels, and all their values in every combination."""
    told.end(0)
    families = {
        family.name.removeprefix("veetro_batch_"): family
        for family in text_string_to_metric_families(expose(told))
        if family.name.startswith("veetro_batch_")
    }
    for name, (kind, labels) in PUBLIC.items():
        assert families[name].type == kind, name
        assert families[name].documentation, name
        samples = [sample.labels for sample in families[name].samples]
        shown = {frozenset(item for item in sample.items() if item[0] != "le") for sample in samples}
        expected = {frozenset(zip(labels, values, strict=True)) for values in itertools.product(*labels.values())}
        assert shown == expected, name
