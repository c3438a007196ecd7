"""All that tells of one run while it lasts and at its end: the recorder, the served numbers, the files, the push."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from batcher.core.fingerprint import display_name, input_name
from batcher.errors import OutputFailed
from batcher.flow.ledger.address import ledger_name
from batcher.flow.ledger.writer import LedgerWriter
from batcher.observe.account import read_account, write_account
from batcher.observe.files import refuse_unwritable, replace
from batcher.observe.lag import sample_lag
from batcher.observe.lines import Lines
from batcher.observe.logs import log_event
from batcher.observe.pace import Pace
from batcher.observe.recorder import Recorder
from batcher.observe.summary import Summary
from batcher.observe.tally import Tally
from batcher.observe.timeline import Timeline
from batcher.observe.view import Report, standing
from batcher.options.texts import masked
from batcher.settings import OPTIONS, Settings
from batcher.signals import interrupted

_ACCOUNT_EVERY = 10.0
"""Seconds between two accounts in the ledger: of a killed run so much is missing in the timeline, and nowhere else."""

_WORDS = {"": "none", "True": "on", "False": "off"}


class Watch:
    """Tells of the run that *tally* counts, as *settings* ask for.

    Args:
        settings: of the run.
        tally: its counts.
        lines: take what people read.
        summarize: the summary so far.

    Attributes:
        recorder: an Observer, to be given the run's events.

    Raises:
        OutputFailed: a file that is to be written at the end cannot be.
    """

    def __init__(self, settings: Settings, tally: Tally, lines: Lines, summarize: Callable[[], Summary]) -> None:
        self.recorder = Recorder(tally)
        self._settings = settings
        self._tally = tally
        self._lines = lines
        self._summarize = summarize
        self._final: Summary | None = None
        self._scraped: asyncio.Event | None = None
        self._told = told_settings(settings)
        self._account_due = tally.started + _ACCOUNT_EVERY
        self._earlier: list[Timeline] = []
        for path in (settings.report, settings.metrics_file):
            if path is not None:
                refuse_unwritable(path)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Within the block the run is recorded and, where a port was asked for, served.

        Raises:
            SettingsError: the port cannot be had.
        """
        async with contextlib.AsyncExitStack() as stack:
            await self._serve(stack)
            recording = asyncio.create_task(self.recorder.run(), name="recorder")
            stack.callback(recording.cancel)
            settings = self._settings
            if settings.metrics_port is not None or settings.metrics_file or settings.pushgateway:
                lag = asyncio.create_task(sample_lag(self._tally.loop_lag), name="lag")
                stack.callback(lag.cancel)
            yield

    async def _serve(self, stack: contextlib.AsyncExitStack) -> None:
        settings, tally = self._settings, self._tally
        if settings.metrics_port is None:
            return
        # Only here: the web server takes a fifth of a second to import, and most runs have no use for it.
        from batcher.observe.exporter import Exporter  # noqa: PLC0415
        from batcher.observe.metrics import make_registry  # noqa: PLC0415

        pace = Pace(tally)
        exporter = Exporter(
            tally,
            make_registry(tally),
            lambda: self._current().to_json(),
            lambda: self._view(pace),
            port=settings.metrics_port,
            host=settings.metrics_host,
        )
        await stack.enter_async_context(exporter)
        self._scraped = exporter.scraped
        place = f"http://{exporter.host}:{exporter.port}"
        self._lines.tell(
            "serving",
            f"veetro-batch: live page at {place}/, metrics at {place}/metrics",
            {"page": f"{place}/", "metrics": f"{place}/metrics"},
        )

    def _current(self) -> Summary:
        return self._final or self._summarize()

    def _view(self, pace: Pace) -> Mapping[str, object]:
        live = standing(self._tally, pace) if self._final is None else None
        # What was recorded up to this moment, not up to the last full second.
        self.recorder.look()
        return dataclasses.replace(self._report(self._current()), records=False, live=live).to_json()

    def _report(self, summary: Summary) -> Report:
        return Report(
            summary=summary,
            timeline=self.recorder.timeline,
            doubtful=self._tally.doubtful,
            settings=self._told,
        )

    def keep(self, writer: LedgerWriter, earlier: Iterable[bytes]) -> None:
        """Leave accounts in the ledger that *writer* keeps, where the runs before this one have left *earlier*."""
        writer.account = self._due_account
        self._earlier = [account.timeline for packed in earlier if (account := read_account(packed)) is not None]

    def _due_account(self) -> bytes | None:
        """The account, where the last one is old."""
        now = self._tally.now()
        if now < self._account_due:
            return None
        self._account_due = now + _ACCOUNT_EVERY
        return self.account()

    def account(self) -> bytes:
        """What a report of the ledger will need to know of this run."""
        self.recorder.look()
        return write_account(self._tally, self.recorder.timeline, self._told)

    async def end(self, summary: Summary) -> Summary:
        """Write and push what was asked for; *summary* as it is then, for a file that cannot be written changes it."""
        settings, tally = self._settings, self._tally
        tally.end(summary.exit_code or 0)
        self.recorder.end(f"exit {summary.exit_code}")
        if settings.metrics_file is not None or settings.pushgateway is not None:
            from batcher.observe.push import final_text, push  # noqa: PLC0415 - as above

            if settings.metrics_file is not None:
                summary = self._write(summary, settings.metrics_file, final_text(tally), keep_mode=True)
            if settings.pushgateway is not None:
                trouble = await asyncio.to_thread(push, settings.pushgateway, tally)
                if trouble:
                    log_event(logging.WARNING, "push_failed", gateway=settings.pushgateway, detail=trouble)
        if settings.report is not None:
            from batcher.observe.page import report_page  # noqa: PLC0415 - likewise

            report = self._report(summary)
            if self._earlier:
                report = dataclasses.replace(report, timeline=Timeline.join([*self._earlier, report.timeline]))
            page = report_page(report.to_json())
            summary = self._write(summary, settings.report, page)
        self._final = summary
        return summary

    def _write(self, summary: Summary, path: str, content: bytes, *, keep_mode: bool = False) -> Summary:
        try:
            replace(path, content, keep_mode=keep_mode)
        except OutputFailed as error:
            summary = summary.failed(error)
            self._tally.end(error.exit_code)
        return summary

    async def linger(self) -> None:
        """Stay until the final numbers were scraped once, a signal comes, or the time that was asked for has passed."""
        seconds = self._settings.metrics_linger
        if self._scraped is None or not seconds:
            return
        with interrupted() as signalled:
            scraped = asyncio.create_task(self._scraped.wait())
            signalled.add_done_callback(lambda _: scraped.cancel())
            await asyncio.wait([scraped], timeout=seconds)
            scraped.cancel()


def told_settings(settings: Settings) -> dict[str, str]:
    """Each setting as people read it, by option's name, but for secrets and what may hold some."""
    told = {"INPUT": ", ".join(map(input_name, settings.inputs))} if settings.inputs else {}
    for option in OPTIONS.values():
        if option.secret:
            continue
        text = str(option.kind.show(getattr(settings, option.attribute)))
        if option.name == "endpoint":
            text = text.partition("?")[0]
        elif option.name == "ledger":
            text = ledger_name(text)
        told[option.name] = masked(text) if option.name == "proxy" else _WORDS.get(text, text)
    return {name: display_name(text) for name, text in told.items()}
