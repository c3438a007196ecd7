"""The program with objects: every command that reads or writes them, what it ends with, and what it never tells."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from batcher.flow import objects
from batcher.sandbox import Sandbox
from tests.e2e.program import PATIENCE_S, ROOT, Done, Program, many, read_lines
from tests.objects import google
from tests.objects.google import REFUSED
from tests.objects.s3 import S3Bucket, environ
from tests.objects.store import BUCKET, SECRET, Bucket
from tests.objects.way import Way

_ABORTS = """
import atexit, os, sys
from batcher.__main__ import main
atexit.register(os.abort)
sys.exit(main())
"""
of_s3 = pytest.mark.parametrize("bucket", ["s3"], indirect=True)


def test_a_run_from_objects(program: Program, sandbox: Sandbox, bucket: Bucket) -> None:
    """Check, submit, resume and verify; the ledger knows the input by its content."""
    plain, packed = bucket.put("in/a.ndjson", many(40)), bucket.put("in/b.ndjson.gz", gzip.compress(many(20)))
    store = bucket.environ()
    run = (plain, packed, "--endpoint", sandbox.url, "--ledger=run.ledger", "--results=none", "--summary=run.json")
    checked = program.run("check", plain, packed, environ=store)
    assert (checked.code, checked.out) == (0, b"")
    assert "60 records" in checked.err
    assert program.run(*run, environ=store).code == 0
    assert sandbox.stats().requests == 60
    again = program.run(*run, environ=store)
    assert (again.code, sandbox.stats().requests) == (0, 60)
    assert program.run("verify", "run.ledger", plain, packed, environ=store).code == 0
    results = read_lines(program.run("results", "run.ledger").out)
    assert sorted((each["input"], each["line"], each["outcome"]) for each in results) == [
        *((plain, line, "delivered") for line in range(1, 41)),
        *((packed, line, "delivered") for line in range(1, 21)),
    ]


def test_results_and_report_to_objects(program: Program, sandbox: Sandbox, writable: Bucket) -> None:
    """As they are written to files, in one part or in several."""
    store = writable.environ()
    given = many(30, SourceName="x" * 300_000)
    assert program.run("--endpoint", sandbox.url, "--ledger=l", "--results=none", given=given).code == 0
    written = program.run("results", "l", "--output", writable.address("out/results.ndjson"), environ=store)
    assert (written.code, written.out, written.err) == (0, b"", "")
    results = writable.get("out/results.ndjson")
    assert results == program.run("results", "l").out
    assert len(results) > objects._PART_BYTES
    reported = program.run("report", "l", "-o", writable.address("out/report.html"), environ=store)
    assert (reported.code, reported.err) == (0, "")
    assert writable.get("out/report.html").startswith(b"<!doctype html>")


def test_results_to_a_file(program: Program, sandbox: Sandbox) -> None:
    """The lines that standard output gets, in a file for its owner alone; never over the ledger."""
    assert program.run("--endpoint", sandbox.url, "--ledger=l", "--results=none", given=many(3)).code == 0
    assert program.run("results", "l", "-o", "out").out == b""
    path = program.directory / "out"
    assert path.read_bytes() == program.run("results", "l").out
    assert path.stat().st_mode & 0o777 == 0o600
    refused = program.run("results", "l", "-o", "l")
    assert (refused.code, refused.out) == (2, b"")
    assert "would be lost" in refused.err
    assert program.run("verify", "l", "-", given=many(3)).code == 0


def test_range_shards_do_what_one_run_does(program: Program, sandbox: Sandbox, bucket: Bucket) -> None:
    """Each record is applied once."""
    address = bucket.put("shards.ndjson", many(90))
    store = bucket.environ()
    for index in range(3):
        done = program.run(address, "--endpoint", sandbox.url, f"--shard={index}/3", "--shard-by=range", environ=store)
        assert (done.code, done.outcomes) == (0, {"delivered": len(done.results)})
    assert sandbox.stats().applied == {f"S-{number}": 1 for number in range(1, 91)}


def test_objects_that_cannot_be_read(program: Program, sandbox: Sandbox, bucket: Bucket) -> None:
    """Exit 9, nothing is sent, and the message names the object, what is wrong, and what to do."""
    there, store = bucket.put("there", many(1)), bucket.environ()
    (where,) = (name for name in store if name.endswith(("_ENDPOINT_URL", "_BASE_URL", "_STORAGE_ENDPOINT")))
    (clear,) = (name for name in store if name.endswith("_ALLOW_HTTP"))
    (who,) = (name for name in store if name.endswith(("_ACCESS_KEY_ID", "_CREDENTIALS", "_ACCOUNT_KEY")))
    cases: list[tuple[str, dict[str, str], tuple[str, ...]]] = [
        (bucket.address("nowhere"), {}, ("there is no such object", where)),
        (there, bucket.denied(), ("access is denied (403", who)),
        (there, {where: "http://127.0.0.1:9"}, ("cannot be reached", where)),
        (there, {clear: "false"}, ("over plain http", f"{clear}=true")),
    ]
    if bucket.scheme != "gs":  # whose server does not tell the one from the other
        cases.append((f"{bucket.scheme}://nobody-has-this/there", {}, ("there is no such bucket", where)))
    if bucket.scheme == "s3":
        web = f"http://127.0.0.1:{bucket.port}/{BUCKET}/there"
        cases.append((web, {}, ("access is denied (403", "may have expired")))
    begun = [
        program.start(address, "--endpoint", sandbox.url, environ={**store, **others}) for address, others, _ in cases
    ]
    for (address, _, told), process in zip(cases, begun, strict=True):
        done = program.finish(process)
        assert (done.code, done.out) == (9, b""), done.err
        assert done.err.startswith(f"veetro-batch: error: {address}: ")
        for words in told:
            assert words in done.err
        assert done.err.count("\n") == 1
    assert sandbox.stats().requests == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_store_is_silent(program: Program, number: signal.Signals) -> None:
    """The run has not begun: one signal ends it with 6, not only once the store has answered."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = program.start(
            "s3://acme/in", "--endpoint", "http://127.0.0.1:9", environ=environ(silent.getsockname()[1])
        )
        asked, _ = silent.accept()
        with asked:
            asked.recv(1)
            process.send_signal(number)
            done = program.finish(process)
            assert (done.code, done.out, done.err) == (6, b"", "veetro-batch: interrupted\n")


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_the_identity_of_a_machine_or_pod(program: Program, in_s3: S3Bucket, scheme: str) -> None:
    """Where no key is given it is asked for: of EKS Pod Identity, of Google's metadata server."""
    in_s3.put("there", many(1))
    expiry = "2099-01-01T00:00:00Z"
    (program.directory / "token").write_text("pod-token")
    told = {
        "s3": {"AccessKeyId": "AKIAPOD", "SecretAccessKey": SECRET, "Token": "session-of-pod", "Expiration": expiry},
        "gs": {"access_token": "token-of-machine", "expires_in": 3600, "token_type": "Bearer"},
    }[scheme]
    asked: list[bytes] = []

    def identity(head: bytes) -> bytes:
        asked.append(head.lower())
        body = json.dumps(told).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)

    def refusal(head: bytes) -> bytes:
        return b"" if b"session-of-pod" in head or b"token-of-machine" in head else REFUSED

    with Way(in_s3.port, identity) as metadata, Way(in_s3.port, refusal) as store:
        others = {
            "s3": {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "us-east-1",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{metadata.port}/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(program.directory / "token"),
            },
            "gs": {**google.place(store.port), "GCE_METADATA_HOST": f"127.0.0.1:{metadata.port}", "HOME": "/nowhere"},
        }[scheme]
        done = program.run("check", f"{scheme}://{BUCKET}/there", environ=others)
    assert (done.code, done.out) == (0, b""), done.err
    assert {"s3": b"authorization: pod-token", "gs": b"metadata-flavor: google"}[scheme] in asked[0]


@of_s3
def test_the_end_takes_no_interpreter_down(program: Program, bucket: Bucket) -> None:
    """Under the store's threads: after the last word, which is printed, nothing more is done."""
    address = bucket.put("end", many(1) + b"{}\n")
    for closed in ("", ">&-"):
        process = subprocess.run(
            ["bash", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", _ABORTS, "check", address],
            cwd=program.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), **bucket.environ()},
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )
        if closed:
            assert (process.returncode, process.stdout) == (9, b"")
            assert process.stderr.count(b"\n") == 1
        else:
            assert process.returncode == 3, process.stderr
            (result,) = read_lines(process.stdout)
            assert (result["line"], result["outcome"]) == (2, "invalid")
            assert b"1 are invalid" in process.stderr


@of_s3
def test_what_makes_no_sense(program: Program, bucket: Bucket) -> None:
    """Exit 2: no object, records over plain http, files of a run in a store, an object on the web as an output."""
    common = ("--endpoint", "http://127.0.0.1:9")
    cases = {
        ("s3://acme", *common): "INPUT: s3://acme names no object",
        ("http://user:pw@example.com/a?sig=x", *common): "INPUT: http://example.com/a would come over plain http",
        ("-", "--results=s3://acme/r", *common): "--results: s3://acme/r is an object, and a run writes files",
        ("az://container/blob", *common): "INPUT: az://container/blob: the settings of its store are wrong",
        (
            "results",
            "ledger",
            "-o",
            "https://example.com/r?sig=x",
        ): "--output: https://example.com/r is on a web server",
    }
    (program.directory / "ledger").touch()
    program.run("--endpoint", "http://127.0.0.1:9", "--ledger=ledger", "--limit=0", given=many(1))
    begun = {case: program.start(*case, environ=bucket.environ()) for case in cases}
    for case, process in begun.items():
        done = program.finish(process)
        assert (done.code, done.out) == (2, b""), done.err
        assert done.err.startswith(f"veetro-batch: error: {cases[case]}"), done.err


def test_without_the_extra(program: Program, tmp_path: Path) -> None:
    """Exit 2, and what to install; files do not need it."""
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "obstore.py").write_text("raise ModuleNotFoundError('obstore')")
    environ = {"PYTHONPATH": f"{missing}:{ROOT}"}
    (program.directory / "in").write_bytes(many(1))
    assert program.run("check", "in", environ=environ).code == 0
    done = program.run("check", "s3://acme/in", environ=environ)
    assert (done.code, done.out) == (2, b"")
    assert "pip install 'veetro-batch[objects]'" in done.err


@of_s3
@pytest.mark.parametrize("address", ["signed", "stored"])
def test_secrets_are_told_nowhere(program: Program, sandbox: Sandbox, bucket: S3Bucket, address: str) -> None:
    """Neither the signature of an address nor a key of the environment: not on the screen, nor in any file."""
    bucket.put("secret", many(5) + b"{}\n")
    bucket.put("secret2", many(5))
    given = [bucket.signed(key) if address == "signed" else f"s3://{BUCKET}/{key}" for key in ("secret", "secret2")]
    hidden = [part for each in given for part in each.partition("?")[2].split("&") if "Signature=" in part] + [SECRET]
    assert len(hidden) == (3 if address == "signed" else 1)
    store = bucket.environ()
    files = ("ledger", "results", "rejects", "summary", "report")
    written = [f"--{name}={name}" for name in files]
    log = ("--log-level=debug", "--log-format=json")
    done = [program.run(*given, "--endpoint", sandbox.url, *written, *log, environ=store)]
    assert done[0].code == 3
    bucket.put("secret", many(7))
    done.append(program.run(*given, "--endpoint", sandbox.url, *written, *log, environ=store))
    assert done[1].code == 9
    bucket.delete("secret")
    done.append(program.run(*given, "--endpoint", sandbox.url, *log, environ=store))
    assert done[2].code == 9
    done.append(program.run("settle", "ledger", given[0], environ=store))
    assert done[3].code == 2
    done.append(program.run(*given, "--endpoint", sandbox.url, "--show-config", environ=store))
    names = {path.partition("?")[0] for path in given}
    results = read_lines((program.directory / "results").read_bytes())
    assert {result["input"] for result in results} == names
    shown = [_text(each) for each in done] + [
        path.read_bytes() for path in program.directory.iterdir() if path.is_file()
    ]
    assert len(shown) >= len(done) + len(files)
    for text in shown:
        assert not [secret for secret in hidden if secret.encode() in text]
    assert "report" in json.loads((program.directory / "summary").read_text())["files"]


def _text(done: Done) -> bytes:
    return done.out + done.err.encode()
