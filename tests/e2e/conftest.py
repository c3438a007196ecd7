from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from batcher.sandbox import Sandbox, SandboxSettings
from tests.e2e.gated import Gated
from tests.e2e.program import Program
from tests.e2e.servers import Answer, Background, Raw, raw_server
from tests.e2e.silent import Silent


class StartSandbox(Protocol):
    """Start a sandbox; the options are those of SandboxSettings."""

    def __call__(self, tls: ssl.SSLContext | None = None, **options: Any) -> Sandbox: ...


class StartGated(Protocol):
    """Start a sandbox with a gate; the options are those of SandboxSettings."""

    def __call__(self, **options: Any) -> Gated: ...


class StartRaw(Protocol):
    """Start a server that gives each answer as it is told."""

    def __call__(self, answer: Answer) -> Raw: ...


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    """Where servers run."""
    with Background() as running:
        yield running


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program, run in a directory of its own."""
    started = Program(tmp_path)
    yield started
    started.close()


@pytest.fixture
def sandbox(background: Background) -> Iterator[Sandbox]:
    """A service that is always well."""
    with background.sandbox() as running:
        yield running


@pytest.fixture
def start_sandbox(background: Background) -> Iterator[StartSandbox]:
    """Starts sandboxes, which are stopped at the test's end."""
    with contextlib.ExitStack() as stack:

        def start(tls: ssl.SSLContext | None = None, **options: Any) -> Sandbox:
            return stack.enter_context(background.sandbox(SandboxSettings(**options), tls))

        yield start


@pytest.fixture
def start_gated(background: Background) -> Iterator[StartGated]:
    """Starts sandboxes that stand still where they are told to."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Gated:
            return stack.enter_context(background.holding(Gated(SandboxSettings(**options))))

        yield start


@pytest.fixture
def start_raw(background: Background) -> Iterator[StartRaw]:
    """Starts servers that answer as they are told."""
    with contextlib.ExitStack() as stack:

        def start(answer: Answer) -> Raw:
            return stack.enter_context(background.holding(raw_server(answer)))

        yield start


@pytest.fixture
def silent(background: Background) -> Silent:
    """What the service answers with."""
    return Silent(background)


@pytest.fixture
def service(start_raw: StartRaw, silent: Silent) -> Raw:
    """A service that falls silent."""
    return start_raw(silent)
