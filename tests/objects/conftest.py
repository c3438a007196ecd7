from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from batcher.sandbox import Sandbox
from tests.e2e.program import Program
from tests.e2e.servers import Background
from tests.objects import azure, google, s3
from tests.objects.store import Bucket
from tests.objects.way import Way


@pytest.fixture(scope="session")
def in_s3() -> Iterator[s3.S3Bucket]:
    with s3.serving() as made:
        yield made


@pytest.fixture(scope="session")
def in_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with azure.serving(tmp_path_factory.mktemp("azure")) as made:
        yield made


@pytest.fixture(scope="session")
def in_google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with google.serving(tmp_path_factory.mktemp("google")) as made:
        yield made


@pytest.fixture(scope="session", params=["s3", "gs", "az"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """One in each kind of store; all tests share it."""
    made: Bucket = request.getfixturevalue({"s3": "in_s3", "gs": "in_google", "az": "in_azure"}[request.param])
    return made


@pytest.fixture(params=["s3", "gs", "az"])
def writable(request: pytest.FixtureRequest, in_s3: s3.S3Bucket) -> Bucket:
    """One in each kind of store that can be written to as obstore does."""
    if request.param == "gs":
        return google.GoogleXmlBucket(in_s3)
    made: Bucket = in_s3 if request.param == "s3" else request.getfixturevalue("in_azure")
    return made


@pytest.fixture
def way(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """The way on which this process asks the store."""
    with Way(bucket.port) as made:
        for name, value in bucket.environ(made.port).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program, run in a directory of its own."""
    with contextlib.closing(Program(tmp_path)) as started:
        yield started


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    """Where sandboxes run."""
    with Background() as running:
        yield running


@pytest.fixture
def sandbox(background: Background) -> Iterator[Sandbox]:
    """A service that is always well."""
    with background.sandbox() as running:
        yield running
