"""How much of an input was read is told in the same bytes as its size, however it is stored."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.program import Program, many
from tests.e2e.servers import Background

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    started = Program(tmp_path)
    yield started
    started.close()


@pytest.mark.parametrize("store", [bytes, gzip.compress, zstd.compress], ids=["plain", "gzip", "zstd"])
def test_what_was_read_ends_at_the_size(program: Program, store: Callable[[bytes], bytes]) -> None:
    """At the end the bytes read are the input's size as it is stored, and those of its lines are those of the text."""
    text = many(50)
    stored = store(text)
    (program.directory / "in").write_bytes(stored)
    with Background() as background, background.sandbox() as sandbox:
        options = ("--endpoint", sandbox.url, "--results=results", "--metrics-file=run.prom")
        assert program.run("in", *options).code == 0
    told = {
        sample.name.removeprefix("veetro_batch_"): sample.value
        for family in text_string_to_metric_families((program.directory / "run.prom").read_text())
        for sample in family.samples
        if "_input_" in sample.name
    }
    assert told == {
        "input_records_total": 50,
        "input_bytes_total": len(text) - 50,
        "input_read_bytes_total": len(stored),
        "input_size_bytes": len(stored),
    }
