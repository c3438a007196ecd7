"""The live page and the report in a real browser: drawn, right, quiet, and asking nobody else."""

from __future__ import annotations

import asyncio
import json
import os
import re
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from batcher.core.events import LoggedIn, Paused, RecordEnded, Resumed
from batcher.core.result import Result
from batcher.core.verdict import Outcome, Problem
from batcher.observe.exporter import Exporter
from batcher.observe.metrics import make_registry
from batcher.observe.pace import Pace
from batcher.observe.page import report_page
from batcher.observe.recorder import Recorder
from batcher.observe.summary import Summary
from batcher.observe.tally import Tally
from batcher.observe.view import Report, standing
from batcher.sandbox import SandboxSettings
from tests.e2e.program import Program, many, wait_for_line
from tests.e2e.servers import Background
from tests.observe.browser import Browser, Page, browser, missing

pytestmark = pytest.mark.asyncio(loop_scope="module")

OUTCOMES = ("delivered", "rejected", "invalid", "in_doubt", "unsent")
CHARTS = ("rate", "duration", "concurrency", "trouble")
HOSTILE = "</script><script>document.title='taken'</script><img src='http://192.0.2.1/x' onerror='throw 1'> &lt;b&gt;"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """The real browser. Without it the tests are skipped, but fail where CI is set to true."""
    if absent := missing():
        reason = f"not installed: {', '.join(absent)} (packages: tests/observe/apt-packages.txt)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Browser) -> Page:
    return await chromium.page()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    started = Program(tmp_path)
    yield started
    started.close()


async def tiles(page: Page) -> dict[str, int]:
    """The big numbers by outcome, as people read them."""
    told = await page.value(
        "Object.fromEntries([...document.querySelectorAll('[data-outcome]')].map((tile) =>"
        " [tile.dataset.outcome, tile.querySelector('.value').innerText]))"
    )
    return {outcome: int(text.replace(",", "")) for outcome, text in told.items()}


async def table(page: Page, place: str) -> dict[str, str]:
    """The rows of a table by their first cell."""
    rows = await page.value(
        f"[...document.querySelectorAll('#{place} tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"
    )
    return {row[0]: row[-1] for row in rows}


async def check_drawn(page: Page) -> None:
    """Every chart has ink on it, and a name for those who cannot see it."""
    for chart in CHARTS:
        ink = await page.value(
            f"(() => {{ const canvas = document.querySelector('#{chart} canvas'); const data ="
            " canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
            " let ink = 0; for (let i = 3; i < data.length; i += 4) ink += data[i] > 0; return ink; })()"
        )
        assert ink > 1000, chart
        assert await page.value(f"document.getElementById('{chart}').getAttribute('aria-label')")


async def check_looks(page: Page) -> None:
    """No scrolling sideways at a phone's width, ink and paper change with the scheme, and both can be told apart."""
    papers = []
    for scheme in ("light", "dark"):
        await page.prefer(scheme)
        style = "getComputedStyle(document.body)"
        colours = await page.value(f"[{style}.backgroundColor, {style}.color]")
        paper, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in colours)
        papers.append(paper)
        assert abs(paper - ink) > 150
        for width in (360, 1280):
            await page.resize(width, 740, mobile=width < 1000)
            # Charts follow one after the other.
            await page.until(f"innerWidth === {width} && document.documentElement.scrollWidth <= {width}")
    assert papers[0] > papers[1]


def check_traffic(page: Page, base: str) -> None:
    assert page.asked
    assert all(url.startswith((base, "data:")) for url in page.asked), page.asked
    assert page.complaints == []


async def test_a_run_while_it_lasts_and_afterwards(page: Page, chromium: Browser, program: Program) -> None:
    """The live page shows a run's own numbers, and so does the report it leaves, opened from disk; both ask nobody."""
    settings = SandboxSettings(faults={"server": 0.05, "client": 0.02}, seed=3)
    with Background() as background, background.sandbox(settings) as sandbox:
        process = program.start(
            *("--endpoint", sandbox.url, "--metrics-port=0", "--results=results", "--summary=summary"),
            *("--report=report.html", "--progress=off"),
        )
        base = wait_for_line(process.stderr, "live page at").split("live page at ")[1].split(",")[0]
        assert process.stdin is not None
        process.stdin.write(many(400) + b"{}\n[]\n")
        process.stdin.flush()
        await page.open(base)
        # The input is still open, so the run goes on when all these are done.
        await page.until("shown && shown.summary.records === 402 && shown.live")
        status = json.loads(await asyncio.to_thread(fetch, f"{base}status"))
        assert await tiles(page) == status["outcomes"]
        assert await page.text("#state") == "running"
        assert await table(page, "attempts") == worded(status["attempts"])
        assert await page.value("document.querySelectorAll('.problem pre').length") == 0  # records are for the report
        await check_drawn(page)
        await check_looks(page)
        check_traffic(page, base)
        done = program.finish(process)
    summary = json.loads((program.directory / "summary").read_bytes())
    assert summary["outcomes"]["invalid"] == 2
    assert summary["outcomes"]["rejected"] > 0
    assert summary["attempts"]["faulted"] > 0

    report, file = await chromium.page(), program.directory / "report.html"
    assert file.stat().st_mode & 0o777 == 0o600
    await report.open(file.as_uri())
    await report.drawn()
    assert await tiles(report) == summary["outcomes"]
    assert await report.text("#state") == f"finished, some records were rejected or invalid (exit {done.code})"
    assert await table(report, "attempts") == worded(summary["attempts"])
    assert await table(report, "retries") == worded(summary["retries"])
    assert (await table(report, "http"))["200"] == f"{summary['http']['200']:,}"
    for problem in summary["problems"]:
        assert problem["example"] in await report.text("#problems")
    assert '"SourceID": "S-' in await report.value("document.querySelector('.problem pre').textContent")
    told = await table(report, "settings")
    assert (told["connections"], told["password-file"], told["report file"]) == ("64", "none", "report.html")
    assert sum((await recorded(report, "outcome.")).values()) == 402
    assert sum((await recorded(report, "attempt.")).values()) == summary["attempts"]["total"]
    assert sum((await recorded(report, "latency.")).values()) == summary["attempts"]["total"]
    await check_drawn(report)
    await check_looks(report)
    check_traffic(report, file.as_uri())


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def worded(counts: dict[str, int]) -> dict[str, str]:
    return {name.replace("_", " "): f"{count:,}" for name, count in counts.items() if count and name != "total"}


async def recorded(page: Page, prefix: str) -> dict[str, int]:
    columns: dict[str, list[int]] = await page.value("shown.timeline.columns")
    return {name: sum(values) for name, values in columns.items() if name.startswith(prefix)}


def view_of(tally: Tally, **more: Any) -> dict[str, object]:
    recorder = Recorder(tally)
    recorder.look()
    summary = Summary.of(tally, exit_code=4, reason="told so", endpoint="acme.example")
    return Report(summary=summary, timeline=recorder.timeline, doubtful=tally.doubtful, **more).to_json()


async def test_texts_from_outside_are_only_text(page: Page, told: Tally, tmp_path: Path) -> None:
    """Markup in a message, a record, a file's name or a setting is shown as it is, and nothing of it is done."""
    problem = Problem("server_fault", HOSTILE)
    told.notice(RecordEnded(Result(9, Outcome.REJECTED, None, 1, 1.0, "0" * 16, problem=problem, input=HOSTILE,
                                   raw=HOSTILE.encode())))  # fmt: skip
    file = tmp_path / "report.html"
    file.write_bytes(report_page(view_of(told, settings={HOSTILE: HOSTILE})))
    await page.open(file.as_uri())
    await page.drawn()
    assert HOSTILE in await page.value("document.getElementById('problems').textContent")
    assert HOSTILE in await page.value("document.querySelector('.problem pre').textContent")
    assert HOSTILE in await page.value("document.getElementById('settings').textContent")
    assert await page.value("document.querySelectorAll('img').length") == 0
    assert (await page.value("document.title")).startswith("finished, some records are in doubt")
    check_traffic(page, file.as_uri())


async def test_what_is_in_doubt_and_what_to_do(page: Page, told: Tally, tmp_path: Path) -> None:
    """The report names the records in doubt by line, why the run ended, and what to do next."""
    for line in (17, 18, 19, 25):
        told.notice(
            RecordEnded(Result(line, Outcome.IN_DOUBT, None, 1, 1.0, "0" * 16, problem=Problem("timeout", "-")))
        )
    file = tmp_path / "report.html"
    file.write_bytes(report_page(view_of(told)))
    await page.open(file.as_uri())
    await page.drawn()
    assert await page.text("#doubt") == "5 records may have been applied, or not: lines 5, 17\N{EN DASH}19, 25."
    assert "5 records may have been applied, or not: look in the service" in await page.text("#next")
    assert await page.text("#alarms") == "told so"


async def test_shards_have_a_row_each(page: Page, told: Tally, tmp_path: Path) -> None:
    """The report of several shards shows their numbers side by side; one of a single run shows no such table."""
    numbers = {"p50": 0.02, "p95": 0.5, "p99": 1.5, "largest": 2.0}
    row = {
        "shard": "1/3",
        "ledger": HOSTILE,
        "exit_code": 3,
        "records": 2999,
        "attempts": 4000,
        "seconds": 75.0,
        "records_per_second": 40.0,
        "request_seconds": numbers,
        "record_seconds": numbers,
        "outcomes": dict.fromkeys(OUTCOMES, 0) | {"delivered": 2990, "rejected": 9},
    }
    file = tmp_path / "report.html"
    file.write_bytes(report_page({**view_of(told), "shards": [row]}))
    await page.open(file.as_uri())
    await page.drawn()
    cells = await page.value("[...document.querySelectorAll('#shards tbody td')].map((cell) => cell.textContent)")
    assert cells == [
        *("1/3", "2,999", "2,990", "9", "0", "0", "0", "4,000", "20 ms", "500 ms", "1.5 s", "40", "1:15", "3", HOSTILE),
    ]
    file.write_bytes(report_page(view_of(told)))
    await page.open(file.as_uri())
    await page.drawn()
    assert await page.value("byId('shards-section').hidden")


async def test_pauses_and_where_the_time_goes(page: Page, told: Tally) -> None:
    """A pause that lasts is told at once with its reason, and the seconds of each state as shares of all."""
    told.notice(Paused("outage", "connection refused", None))
    told.slot_seconds = lambda: {"sending": 30.0, "back_off": 10.0}
    recorder, pace = Recorder(told), Pace(told)

    def view() -> dict[str, object]:
        recorder.look()
        live = standing(told, pace)
        return Report(summary=Summary.of(told), timeline=recorder.timeline, records=False, live=live).to_json()

    async with Exporter(told, make_registry(told), dict, view, port=0) as exporter:
        base = f"http://127.0.0.1:{exporter.port}/"
        await page.open(base)
        await page.drawn()
        assert await page.text("#state") == "paused"
        assert await page.text("#alarms") == "Paused for 0:00 (outage): connection refused"
        assert await page.text("#slots-key") == "■ back off 25.00% ■ sending 75.00%"
        assert "in flight 1 of 16 allowed" in await page.text("#outcomes")
        check_traffic(page, base)
    await page.until("document.getElementById('alarms').innerText.includes('does not answer any more')")


async def test_pauses_again_and_again_are_one_row(page: Page, told: Tally, now: list[float], tmp_path: Path) -> None:
    """Each pause is a row with its length; those of one reason one after another are a single one with their number."""
    recorder = Recorder(told)
    for event in (
        Paused("outage", "connection refused", None), Resumed("outage", 3.0),
        *(Paused("throttled", "429", 1.0), Resumed("throttled", 1.0)) * 5,
        LoggedIn("success", ""),
        Paused("throttled", "429", 1.0),
    ):  # fmt: skip
        now[0] += 1
        recorder.notice(event)
    file = tmp_path / "report.html"
    file.write_bytes(report_page(Report(summary=Summary.of(told), timeline=recorder.timeline).to_json()))
    await page.open(file.as_uri())
    await page.drawn()
    rows = await page.value(
        "[...document.querySelectorAll('#marks tr')].map((row) =>"
        " [...row.cells].slice(1).map((cell) => cell.innerText))"
    )
    assert [kind for kind, _ in rows] == ["paused", "paused", "login", "paused"]
    assert rows[0][1] == "outage: connection refused; resumed after 3.0 s"
    assert rows[1][1].startswith("throttled: 429; resumed after 1.0 s \N{EN DASH} 5 times until ")
    assert rows[3][1] == "throttled: 429"


async def test_charts_are_read_with_the_keyboard(page: Page, told: Tally, now: list[float], tmp_path: Path) -> None:
    """The focus reaches a chart, and arrows, Home and End move the cursor in all of them."""
    recorder = Recorder(told)
    for _ in range(3):
        now[0] += 1
        recorder.look()
    file = tmp_path / "report.html"
    file.write_bytes(report_page(Report(summary=Summary.of(told), timeline=recorder.timeline).to_json()))
    await page.open(file.as_uri())
    await page.drawn()
    assert await page.text("#state") == "as the ledger has it"
    await page.press("Tab")
    assert await page.value("document.activeElement.className") == "skip"
    await page.press("Tab")
    assert await page.value("document.activeElement.id") == "rate"
    value = "document.querySelector('#{} .u-series .u-value').innerText"
    read = []
    for key in ("End", "ArrowLeft", "Home"):
        await page.press(key)
        read.append(await page.value(value.format("rate")))
        assert await page.value(value.format("concurrency")) == read[-1]
    assert sorted(read, reverse=True) == read
    assert len(set(read)) == 3


async def test_every_outcome_has_a_shape_of_its_own(page: Page, told: Tally, tmp_path: Path) -> None:
    """Colours are not all that tells outcomes apart: each has its own shape, and each line its own dashes."""
    file = tmp_path / "report.html"
    file.write_bytes(report_page(view_of(told)))
    await page.open(file.as_uri())
    await page.drawn()
    shapes = await page.value("[...document.querySelectorAll('#outcomes .shape')].map((shape) => shape.innerText)")
    assert len(set(shapes)) == len(OUTCOMES)
    dashes = await page.value("charts.get('rate').plot.series.slice(1).map((series) => JSON.stringify(series.dash))")
    assert len(set(dashes)) == len(OUTCOMES)
