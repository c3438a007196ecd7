from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import background, program, sandbox
from tests.objects import azure, google, s3
from tests.objects.store import Bucket
from tests.objects.way import Way

__all__ = ["background", "bucket", "in_azure", "in_google", "in_s3", "program", "sandbox", "way", "writable"]


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
