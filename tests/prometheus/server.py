"""Prometheus and its Pushgateway as Debian packages them, each on a port of its own, for as long as a context lasts."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

T = TypeVar("T")

PATIENCE_S = 240.0
_LOOK_EVERY_S = 0.02
_SCRAPES_FAIL_S = 1.0
"""A scrape that has not been answered by then has failed."""
_HISTORY = "1h"
"""Longer than any test: what was scraped at all lies within."""


def lasting_port() -> int:
    """A free port that the kernel gives nobody by itself, nor this function to anybody else while this process lives.

    So it is still free when a server that cannot choose one for itself has begun, or begins anew, and nobody else
    answers there once the run that had it is over.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        claim = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            claim.bind(f"\0veetro-batch tests, port {port}")
            claim.detach()
            return port
        claim.close()
    raise AssertionError("none is free")


class Sample(NamedTuple):
    """One series of an answer at one moment; its *name* is empty where the query has made something new of it."""

    name: str
    labels: dict[str, str]
    value: float


class _Server:
    """A process that says in its log where it listens."""

    program: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def is_installed(cls) -> bool:
        """Whether the Debian package is there."""
        return shutil.which(cls.program) is not None

    def arguments(self) -> Sequence[str]:
        """Of the command line, the address aside."""
        return ()

    def __enter__(self) -> Self:
        log = self.directory / f"{self.program}.log"
        with log.open("wb") as stream:
            self._process = process = subprocess.Popen(
                [self.program, "--web.listen-address=127.0.0.1:0", *self.arguments()],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

        def port() -> str:
            assert process.poll() is None, log.read_text()
            found = re.search(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', log.read_text())
            return found[1] if found else ""

        self.url = f"http://127.0.0.1:{wait_for(port)}"
        wait_for(self._is_ready)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def get(self, path: str, **parameters: str) -> bytes:
        """What it answers."""
        place = f"{self.url}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(place, timeout=PATIENCE_S) as answer:
            return bytes(answer.read())

    def _is_ready(self) -> bool:
        try:
            self.get("/-/ready")
        except OSError:
            return False
        return True


class Prometheus(_Server):
    """Scrapes whom it is told, twice a second, and answers queries.

    Args:
        directory: for its configuration, its log and what it stores.
        interval: between two scrapes of a target, and between two evaluations of the rules.
        rules: files of rules.
        honor_labels: keep the labels ``job`` and ``instance`` that a target tells, as one does with a Pushgateway.
    """

    program = "prometheus"

    def __init__(
        self, directory: Path, *, interval: str = "500ms", rules: Sequence[Path] = (), honor_labels: bool = False
    ) -> None:
        super().__init__(directory)
        scraped = {
            "job_name": "veetro-batch",
            "honor_labels": honor_labels,
            "file_sd_configs": [{"files": ["targets.json"]}],
        }
        (directory / "prometheus.json").write_text(
            json.dumps(
                {  # JSON is YAML
                    "global": {
                        "scrape_interval": interval,
                        "scrape_timeout": interval,
                        "evaluation_interval": interval,
                    },
                    "rule_files": [str(path) for path in rules],
                    "scrape_configs": [scraped],
                }
            )
        )
        self.scrape({})

    def arguments(self) -> Sequence[str]:
        # Without the second one a new target is seen twice 5 s later; its own discovery takes up to 5 s still.
        return (
            "--config.file=prometheus.json",
            "--storage.tsdb.path=stored",
            "--scrape.discovery-reload-interval=50ms",
        )

    def scrape(self, targets: Mapping[str, Mapping[str, str]]) -> None:
        """From now on (within about 5 s) scrape these: labels, such as namespace and shard, by ``host:port``.

        A label ``job`` takes the place of ``veetro-batch``.
        """
        groups = [{"targets": [target], "labels": dict(labels)} for target, labels in targets.items()]
        written = self.directory / "targets.new"
        written.write_text(json.dumps(groups))
        os.replace(written, self.directory / "targets.json")  # noqa: PTH105 - whole or not at all

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """The series that *expression* gives now, or gave then; an error in it is an error of the test."""
        moment = {} if at is None else {"time": f"{at:.3f}"}
        told: dict[str, Any] = json.loads(self.get("/api/v1/query", query=expression, **moment))
        found = told["data"]["result"]
        if told["data"]["resultType"] == "scalar":
            return [Sample("", {}, float(found[1]))]
        return [
            Sample(entry["metric"].pop("__name__", ""), entry["metric"], float(entry["value"][1])) for entry in found
        ]

    def last(self, selector: str) -> list[Sample]:
        """The last values that were scraped of each series, also where its target has gone since."""
        return self.query(f"last_over_time({selector}[{_HISTORY}])")

    def wait_for(self, expression: str) -> list[Sample]:
        """Wait until *expression* gives something."""
        return wait_for(lambda: self.query(expression))

    def wait_for_moment(self, expression: str) -> float:
        """A moment of the past at which *expression* gave something, in seconds since 1970.

        One that is present will not do: a scrape that has begun by then may fail, and takes series away when it has.
        """

        def moment() -> float:
            at = time.time()
            time.sleep(_SCRAPES_FAIL_S)
            return at if self.query(expression, at) else 0.0

        return wait_for(moment)

    def wait_for_last(self, selector: str) -> list[Sample]:
        """Wait until something was scraped that *selector* finds. What came by the same scrape is there as well."""
        return wait_for(lambda: self.last(selector))


class Pushgateway(_Server):
    """Takes what is pushed and shows it at ``/metrics``."""

    program = "prometheus-pushgateway"

    def arguments(self) -> Sequence[str]:
        return ("--persistence.file=",)  # Debian's keeps what is pushed in /var/lib, for whoever comes next

    def metrics(self) -> str:
        """The page that a Prometheus would scrape."""
        return self.get("/metrics").decode()


def wait_for(look: Callable[[], T]) -> T:
    """Look again and again until something is seen."""
    end = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        assert time.monotonic() < end, f"waited {PATIENCE_S:g} s in vain"
        time.sleep(_LOOK_EVERY_S)
    return seen


def address(url: str) -> str:
    """``host:port`` of *url*, as targets are given."""
    return urllib.parse.urlsplit(url).netloc
