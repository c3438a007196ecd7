"""A way to a store that can be cut, held up, guarded and listened to."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

from tests.prometheus.server import PATIENCE_S

_RANGE = re.compile(rb"\r\n(?:x-ms-)?range: bytes=(\d+)-(\d+)\r\n", re.IGNORECASE)
_PIECE = 16 * 1024


def _let_pass(_: bytes) -> bytes:
    return b""


class Way:
    """A way to a store: passes each request on, and of each answer as much as it is told.

    Args:
        behind: port of the store.
        guard: is shown the head of each request; what it answers is sent in the store's place.

    Attributes:
        port: where it begins.
        cut: bytes of an answer after which its connection is cut; None for none.
        on_cut: called before it is.
        silent: is set when a request has come that is not answered: any one for more than ``HEAD`` bytes, where asked.
        hold: answer no request for more than a few bytes.
        asked: first byte and byte behind the last one of all requests so far.
        passed: bytes of answers so far.
    """

    def __init__(self, behind: int, guard: Callable[[bytes], bytes] = _let_pass) -> None:
        self._behind = behind
        self._guard = guard
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.cut: int | None = None
        self.on_cut: Callable[[], Any] = list
        self.hold = False
        self.silent = threading.Event()
        self._closed = threading.Event()
        self.asked: list[tuple[int, int]] = []
        self.passed = 0
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                thread = threading.Thread(target=self._pass, args=(near,))
                self._threads.append(thread)
                thread.start()

    def _pass(self, near: socket.socket) -> None:
        with near, contextlib.suppress(ConnectionError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                if not (more := near.recv(_PIECE)):
                    return
                head += more
            if refusal := self._guard(head):
                near.sendall(refusal)
                return
            if found := _RANGE.search(head):
                begin, end = int(found[1]), int(found[2]) + 1
                self.asked.append((begin, end))
                if self.hold and end - begin > 4:
                    self.silent.set()
                    self._closed.wait(PATIENCE_S)
                    return
            with socket.create_connection(("127.0.0.1", self._behind)) as far:
                far.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                self._answer(near, far)

    def _answer(self, near: socket.socket, far: socket.socket) -> None:
        left = self.cut
        while piece := far.recv(_PIECE):
            near.sendall(piece)
            self.passed += len(piece)
            if left is not None:
                left -= len(piece)
                if left < 0:
                    self.on_cut()
                    return
