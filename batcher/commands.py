"""The commands: their words, examples and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from batcher.options import Option
from batcher.options.kinds import Kind, duration, optional, whole
from batcher.options.texts import PATH, TEXT
from batcher.settings import CONFIGURATION, OPTIONS, OUTPUT

PROGRAM = "veetro-batch"


class Switch(NamedTuple):
    """An argument without a value: there or not."""

    name: str
    group: str
    help: str


class Command(NamedTuple):
    """One thing that the program does.

    Attributes:
        word: the first argument; submit has none.
        takes: what may follow, as usage shows it.
        summary: what it does, as a sentence.
        examples: command lines and what each is for.
        options: those it shares with others, by name.
        own: those that only it has; they are read from the command line alone.
        switches: likewise.
        inputs: it reads records.
        ledger: its first argument is a ledger.
        shards: more ledgers may follow, of the other shards of the same run.
    """

    word: str
    takes: str
    summary: str
    examples: tuple[tuple[str, str], ...]
    options: tuple[str, ...] = ()
    own: tuple[Option, ...] = ()
    switches: tuple[Switch, ...] = ()
    inputs: bool = True
    ledger: bool = False
    shards: bool = False

    @property
    def name(self) -> str:
        """The words that begin its command line."""
        return f"{PROGRAM} {self.word}".strip()

    def entries(self) -> Iterator[Option | Switch]:
        """All that may be given, group by group."""
        yield from self.own
        yield from (option for name, option in OPTIONS.items() if name in self.options)
        yield from (*self.switches, *_ALWAYS)


def _login(text: str) -> tuple[str, str]:
    email, colon, password = text.partition(":")
    if not (email and colon and password):
        raise ValueError
    return email, password


def _lines(text: str) -> tuple[int, ...]:
    found = tuple(int(part) for part in text.split(",") if part.isascii() and part.isdecimal())
    if len(found) != text.count(",") + 1 or 0 in found:
        raise ValueError
    return found


_LINES = Kind("line numbers, such as 17 or 17,40", _lines, lambda lines: ",".join(map(str, lines)))
_SETTLE = "settle"
_LOGIN = Kind("EMAIL:PASSWORD", _login, ":".join, hidden=True)
_SANDBOX = "sandbox"
_LATENCY = ("latency", "TIME", duration(zero=True))
SHOW_CONFIG = Switch("show-config", CONFIGURATION, "print each setting and where it came from, secrets masked, and end")
_ALWAYS = (
    Switch("help", CONFIGURATION, "show this help and end"),
    Switch("version", CONFIGURATION, "show the version and end"),
)
_OR_OBJECT = ": a file, or an object at s3://, gs:// or az://"
_RECORDS = ("soap", "order-by", "max-line-bytes", "default", "skip", "limit", "shard", "shard-by")

SUBMIT = Command(
    "",
    "[INPUT ...] [options]",
    "Send NDJSON records, one SOAP request each, and give one result line for every record.",
    (
        ("veetro-batch demo", "see it work, without a service"),
        (
            "cat records.ndjson | veetro-batch --endpoint https://acme.worketc.com/xml > results.ndjson",
            "submit a stream",
        ),
        ("veetro-batch records.ndjson.gz --config veetro.toml --rejects rejects.ndjson", "a file, with settings"),
        ("veetro-batch check records.ndjson", "find bad records first; sends nothing"),
        ("veetro-batch s3://acme/records.ndjson.zst --config veetro.toml --ledger acme.ledger", "an object in a store"),
    ),
    tuple(name for name, option in OPTIONS.items() if not option.secret and name != "allow-stale"),
    switches=(SHOW_CONFIG,),
)
CHECK = Command(
    "check",
    "[INPUT ...] [options]",
    "Read, validate and render every record and send nothing; exit 3 if one is invalid.",
    (
        ("veetro-batch check records.ndjson", "a result line for each bad record"),
        ("veetro-batch check --results none --rejects bad.ndjson records.ndjson", "the records themselves, to correct"),
    ),
    (*_RECORDS, "results", "rejects", "progress", "log-format", "log-level", "config"),
    switches=(SHOW_CONFIG,),
)
RENDER = Command(
    "render",
    "[INPUT ...] [options]",
    "Print the envelope of each record, one a line.",
    (("head -n 1 records.ndjson | veetro-batch render --pretty", "see what would be sent"),),
    (*_RECORDS, "log-level", "config"),
    switches=(Switch("pretty", "output", "indent the envelopes, over several lines each"), SHOW_CONFIG),
)
SANDBOX = Command(
    "sandbox",
    "[options]",
    "Serve a stand-in of the service until stopped; what it applied is told at /_stats.",
    (
        ("veetro-batch sandbox --port 8080 --latency 50ms", "a service to try things on"),
        ("veetro-batch sandbox --faults server=1%,reset=0.5% --capacity 32", "a bad day"),
    ),
    own=(
        Option("port", "N", whole(0, 65535), 8080, _SANDBOX, "port to listen on; 0: any that is free"),
        Option("host", "H", TEXT, "127.0.0.1", _SANDBOX, "address to listen on"),
        Option(*_LATENCY, 0.0, _SANDBOX, "what each call takes"),
        Option(
            "capacity", "N", optional(whole(1, 10**6)), None, _SANDBOX, "calls that it works on at once", "unbounded"
        ),
        Option("faults", "KIND=P%[,KIND=P%]", optional(TEXT), None, _SANDBOX, "share of calls that go wrong, by kind"),
        Option("seed", "N", whole(0, 2**63 - 1), 0, _SANDBOX, "same seed, same faults"),
        Option(
            "login", "EMAIL:PASSWORD", optional(_LOGIN), None, _SANDBOX, "made-up login that calls need", "none needed"
        ),
    ),
    inputs=False,
)
DEMO = Command(
    "demo",
    "[options]",
    "Run everything against the built-in sandbox, with live view and report; needs nothing, ends by itself.",
    (("veetro-batch demo", "20,000 records"), ("veetro-batch demo --records 1000 --latency 100ms", "fewer and slower")),
    ("progress",),
    own=(
        Option("records", "N", whole(1, 10_000_000), 20_000, "demo", "records to make up and submit"),
        Option(*_LATENCY, 0.02, "demo", "what each call of the sandbox takes", "20ms"),
        Option("directory", "DIR", optional(PATH), None, "demo", "where its files go", "a new one here"),
    ),
    inputs=False,
)
RESUBMIT = Command(
    "resubmit",
    "LEDGER|REJECTS [options of submit]",
    "Submit again what was not delivered: rejected and invalid records, and those in doubt that may be sent twice.",
    (
        ("veetro-batch resubmit acme.ledger --config veetro.toml", "from the ledger itself, and into it"),
        ("veetro-batch resubmit acme.ledger --config veetro.toml --in-doubt resend", "also what may be created twice"),
        ("veetro-batch resubmit rejects.ndjson --config veetro.toml --rejects still.ndjson", "corrected rejects lines"),
    ),
    (*SUBMIT.options, "allow-stale"),
    switches=(SHOW_CONFIG,),
    inputs=False,
    ledger=True,
)
SETTLE = Command(
    "settle",
    "LEDGER --line N[,N...] --applied|--not-applied",
    "Tell what became of records in doubt: applied ones are delivered, others may be sent again.",
    (
        ("veetro-batch settle acme.ledger --line 17,40 --applied", "they were found in the service"),
        (
            "veetro-batch settle acme.ledger --line 23 --not-applied",
            "then resubmit, or the same command again, sends it",
        ),
    ),
    own=(
        Option("line", "N[,N...]", optional(_LINES), None, _SETTLE, "lines of the records, as their results say"),
        Option("input", "NAME", optional(TEXT), None, _SETTLE, "the input of these lines, where there are several"),
    ),
    switches=(
        Switch("applied", _SETTLE, "the service has them"),
        Switch("not-applied", _SETTLE, "the service does not have them"),
    ),
    inputs=False,
    ledger=True,
)
RESULTS = Command(
    "results",
    "LEDGER [LEDGER ...] [-o PATH]",
    "Print every result line that the ledger holds, in the order in which the records finished.",
    (
        ("veetro-batch results acme.ledger > results.ndjson", "the whole results, whatever became of their file"),
        ("veetro-batch results acme.ledger -o s3://acme/results.ndjson", "into object storage, whole or not at all"),
        ("veetro-batch results acme.ledger | grep -F in_doubt", "the records in doubt"),
        ("veetro-batch results shard-*.ledger > results.ndjson", "those of all shards"),
    ),
    own=(Option("output", "PATH", PATH, "-", OUTPUT, f"where to write them{_OR_OBJECT}", short="o"),),
    inputs=False,
    ledger=True,
    shards=True,
)
STATUS = Command(
    "status",
    "LEDGER [LEDGER ...] [--json]",
    "Tell where a run with a ledger stands, also while it runs: totals, rate, in doubt, what is left.",
    (
        ("veetro-batch status acme.ledger", "for people; a rate takes a second to see"),
        ("veetro-batch status acme.ledger --json", "for programs, as one JSON object"),
        ("veetro-batch status shard-*.ledger", "all shards of a run, together and each"),
    ),
    switches=(Switch("json", "output", "print one JSON object"),),
    inputs=False,
    ledger=True,
    shards=True,
)
VERIFY = Command(
    "verify",
    "LEDGER [LEDGER ...] [INPUT ...] [options]",
    "Prove from the ledger that every record of the input has exactly one outcome and one result line;"
    " exit 3, and what is not so, if one has not.",
    (
        ("veetro-batch verify acme.ledger records.ndjson", "after the run; the inputs in the order of the run"),
        ("veetro-batch verify shard-*.ledger records.ndjson", "all shards: also that each record is in exactly one"),
    ),
    ("limit", "config"),
    ledger=True,
    shards=True,
)
REPORT = Command(
    "report",
    "LEDGER [LEDGER ...] -o PATH",
    "Write a report of all the runs on a ledger, also while one runs: one HTML file that needs nothing else.",
    (
        (
            "veetro-batch report acme.ledger -o report.html",
            "open it in a browser, or mail it: it holds example records",
        ),
        ("veetro-batch report shard-*.ledger -o report.html", "of all shards of a run"),
    ),
    own=(
        Option("output", "PATH", optional(PATH), None, OUTPUT, f"where to write it{_OR_OBJECT}", "required", short="o"),
    ),
    inputs=False,
    ledger=True,
    shards=True,
)
COMMANDS = {
    command.word: command
    for command in (DEMO, SANDBOX, CHECK, RENDER, RESUBMIT, SETTLE, RESULTS, STATUS, REPORT, VERIFY)
}
