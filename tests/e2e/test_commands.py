"""The commands beside submit, and where settings come from."""

from __future__ import annotations

import json
import signal
import tomllib
import urllib.request

import pytest
from lxml import etree

import batcher
from batcher.sandbox import Sandbox
from tests.e2e.program import Program, lines, many, read_lines, record, wait_for_line

NS = "{http://schema.veetro.com}"
SOAP = {"1.1": "{http://schemas.xmlsoap.org/soap/envelope/}", "1.2": "{http://www.w3.org/2003/05/soap-envelope}"}


@pytest.mark.parametrize("soap", ["1.1", "1.2"])
def test_render(program: Program, soap: str) -> None:
    """Each line is one whole envelope with the record's values, whatever these hold; bad records go to stderr: 3."""
    given = [record(1, SourceName="a\nb\r\nc\t<&>\u2028d", ErrorMsg="\n", Source=" x "), record(2, Delete=True)]
    done = program.run("render", "--soap", soap, given=lines(given[0]) + b'{"bad":1}\n' + lines(given[1]))
    assert done.code == 3
    assert "line 2: bad" in done.err
    rendered = done.out.split(b"\n")
    assert (len(rendered), rendered[-1]) == (3, b"")
    for envelope, values in zip(rendered, given, strict=False):
        root = etree.fromstring(envelope)
        assert root.tag == f"{SOAP[soap]}Envelope"
        (found,) = root.iterfind(f"{SOAP[soap]}Body/{NS}SetOutlookSyncRecord/{NS}Record")
        told = {etree.QName(leaf).localname: leaf.text for leaf in found}
        assert told == {
            name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()
        }
        assert [leaf for leaf in told if leaf in values] == list(told)


def test_render_pretty(program: Program) -> None:
    """--pretty indents, and leaves text as it is."""
    done = program.run("render", "--pretty", given=lines(record(1, SourceName="  a\n  b  ")))
    assert done.code == 0
    assert b"\n        <VeetroID>1</VeetroID>\n" in done.out
    (name,) = etree.fromstring(done.out).iter(f"{NS}SourceName")
    assert name.text == "  a\n  b  "


def test_sandbox(program: Program) -> None:
    """It says where it listens, keeps count at /_stats, has its options, and ends with 0 when it is stopped."""
    process = program.start("sandbox", "--port=0", "--login=ann:pw", "--faults=client=100%", "--latency=1ms")
    url = wait_for_line(process.stderr, "sandbox at").split("sandbox at ")[1].split()[0]
    done = program.run(
        "--endpoint", url, "--email=ann", "--stop-after=none", given=many(3), environ={"VEETRO_BATCH_PASSWORD": "pw"}
    )
    assert (done.code, done.outcomes) == (3, {"rejected": 3})
    stats = json.loads(urllib.request.urlopen(url.replace("/xml", "/_stats")).read())
    assert (stats["requests"], stats["applied"]) == (4, {})
    assert 1 <= stats["max_in_flight"] <= 3
    taken = program.run("sandbox", f"--port={url.split(':')[2].split('/')[0]}")
    assert taken.code == 2
    assert "--port" in taken.err
    process.send_signal(signal.SIGTERM)
    assert program.finish(process).code == 0


def test_demo(program: Program) -> None:
    """It makes up records, submits them all, exits 0 and leaves its files, which account for every record."""
    done = program.run("demo", "--records=1000", "--latency=1ms", "--progress=plain", "--directory=demo")
    assert (done.code, done.out) == (0, b"")
    folder = program.directory / "demo"
    assert len((folder / "records.ndjson").read_bytes().splitlines()) == 1000
    results = read_lines((folder / "results.ndjson").read_bytes())
    rejects = read_lines((folder / "rejects.ndjson").read_bytes())
    summary = json.loads((folder / "summary.json").read_bytes())
    assert [entry["line"] for entry in results] == list(range(1, 1001))
    undelivered = [entry["line"] for entry in results if entry["outcome"] != "delivered"]
    assert [entry["line"] for entry in rejects] == undelivered
    assert 0 < len(undelivered) < 200
    assert summary["records"] == 1000
    assert "demo/results.ndjson" in done.err


def test_version_and_help(program: Program) -> None:
    """--version, and help that leads with examples and names every command."""
    version, usage = program.start("--version"), program.start("--help")
    assert program.finish(version).out == f"veetro-batch {batcher.__version__}\n".encode()
    text = program.finish(usage).out.decode()
    assert text.index("examples:") < text.index("usage:")
    assert all(f"\n  {word} " in text for word in ("demo", "sandbox", "check", "render"))


def test_where_settings_come_from(program: Program, sandbox: Sandbox) -> None:
    """Flags beat environment beats file beats default, in what is shown and in what is done."""
    (program.directory / "c.toml").write_text(f'limit = 1\nskip = 4\nendpoint = "{sandbox.url}"\ntimeout = 30\n')
    environ = {"VEETRO_BATCH_LIMIT": "2", "VEETRO_BATCH_CONFIG": "c.toml", "VEETRO_BATCH_TIMEOUT": "40"}
    arguments = ("--limit=3",)
    shown = program.run(*arguments, "--show-config", environ=environ)
    assert shown.code == 0
    settings = tomllib.loads(shown.out.decode())
    assert (settings["limit"], settings["timeout"], settings["skip"], settings["connections"]) == (3, 40, 4, 64)
    origins = {line.split(" = ")[0]: line.split("  # from ")[1] for line in shown.out.decode().splitlines()}
    assert origins["limit"] == "flag"
    assert "VEETRO_BATCH_TIMEOUT" in origins["timeout"]
    assert "c.toml" in origins["skip"]
    assert origins["connections"] == "default"
    done = program.run(*arguments, given=many(9), environ=environ)
    assert [entry["line"] for entry in done.results] == [5, 6, 7]


def test_what_nobody_knows(program: Program) -> None:
    """An unknown flag or key is an error that names what was meant, an unknown variable a warning."""
    (program.directory / "c.toml").write_text("conections = 3\n")
    flag = program.run("--conections=3", given=b"")
    key = program.run("--config=c.toml", given=b"")
    variable = program.run("check", given=b"", environ={"VEETRO_BATCH_CONECTIONS": "3", "VEETRO_BATCH_PORT": "tcp://x"})
    assert (flag.code, key.code, variable.code) == (2, 2, 0)
    assert "did you mean --connections?" in flag.err
    assert "did you mean connections?" in key.err
    assert "warning" in variable.err
    assert "VEETRO_BATCH_CONECTIONS" in variable.err
    assert "tcp://x" not in variable.err


def test_a_file_named_like_a_command(program: Program, sandbox: Sandbox) -> None:
    """``./demo`` is a file."""
    (program.directory / "demo").write_bytes(many(2))
    done = program.run("./demo", "--endpoint", sandbox.url)
    assert (done.code, done.outcomes) == (0, {"delivered": 2})
