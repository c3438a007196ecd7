# ruff: noqa: PLC0415 - obstore is an extra: it is imported where an object is named
"""Objects in a store (S3, Google Cloud, Azure) or on a web server, read by ranges of bytes as files are; and written.

obstore signs the requests, repeats those that fail, and asks for the rest of an answer that breaks off. Added here:

- No request asks for more than a window of the object: none grows old while the run is slower than the store.
- Where obstore gives up after some bytes, the next request begins behind them; without any, reading ends soon.
- Reading can be stopped at any instant.
- An object that is not the one that was found at first is refused: its lines would be mixed with those of another.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from batcher.core.fingerprint import input_name
from batcher.errors import InputFailed, OutputFailed, SettingsError
from batcher.flow.inputs import HEAD_BYTES, PIECE_BYTES, Stopped, Unreadable
from batcher.flow.stores import in_words, is_object, open_store, scheme_of, status_of

if TYPE_CHECKING:
    from obstore import BytesStream, GetOptions, GetResult, ObjectMeta

__all__ = ["ObjectInput", "is_object", "write_object"]

T = TypeVar("T")

WINDOW_BYTES = 32 * 1024 * 1024
"""Bytes of one request: enough that asking costs nothing beside reading. They are not held: pieces are."""
IN_VAIN = 5
"""Requests in a row that bring not one byte, until an object cannot be read: minutes, as obstore repeats each."""
PAUSE = 0.5
"""Seconds before the second of them, twice as long before each further one."""
_CHANGED = (
    "has changed since the run began, and its parts would be mixed with those of another object: keep it as it is while"
    " a run reads it, under a new name for new records"
)
_GLANCE = 0.1
"""Seconds between two looks whether the task that waits was cancelled."""
_PART_BYTES = 8 * 1024 * 1024
"""Of an object that is written; a store takes 10,000 of them (S3), which makes 80 GB."""
_PARTS_AT_ONCE = 2
_NOT_SATISFIABLE = 416


class ObjectInput:
    """An object at an address, of which the first bytes were read.

    Raises:
        InputFailed: there is none, or it may not be read.
        SettingsError: the address names none, the settings of its store are wrong, or obstore is not installed.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self.name = self.title = input_name(address)
        self._ranges = True
        self._head = b""
        meta = _aside(self._look)
        self.size: int | None = meta["size"]
        self._end: int = meta["size"]
        self._version = _version(meta)
        self._store, self._key = open_store(address, "INPUT", patient=True)

    def head(self) -> bytes | None:
        """Its first bytes."""
        return self._head if self._ranges else None

    def chunks(self, wake: int, begin: int = 0, end: int | None = None) -> Generator[bytes, None, None]:
        """Its raw bytes; requests ask for nothing behind *end* until all before it was taken."""
        from obstore.exceptions import BaseError

        at, in_vain = begin, 0
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            while at < self._end:
                try:
                    for piece in self._window(runner, wake, at, end):
                        at += len(piece)
                        in_vain = 0
                        yield piece
                except (BaseError, OSError, ValueError) as error:
                    in_vain += 1
                    self._refuse(error, at, in_vain)
                    runner.run(_unless_woken(wake, asyncio.sleep(PAUSE * 2 ** (in_vain - 1))))

    def _window(self, runner: asyncio.Runner, wake: int, at: int, end: int | None) -> Generator[bytes, None, None]:
        """What one request brings, from the byte *at* on."""
        until = min(at + WINDOW_BYTES, self._end)
        if end is not None:
            until = min(until, end if at < end else at + PIECE_BYTES)
        found = runner.run(_unless_woken(wake, self._get(at, until)))
        if _version(found.meta) != self._version:
            raise Unreadable(_CHANGED)
        if found.range[0] != at:
            raise Unreadable(f"its server gives other bytes than those asked for, {at:,} and following")
        stream = found.stream(min_chunk_size=PIECE_BYTES // 4)
        while chunk := runner.run(_unless_woken(wake, _next(stream))):
            for first in range(0, len(chunk), PIECE_BYTES):
                yield chunk[first : first + PIECE_BYTES]

    async def _get(self, at: int, until: int) -> GetResult:
        from obstore import get_async

        options: GetOptions = {"range": (at, until)} if self._ranges else {}
        if self._version[1] is not None and not self._version[1].startswith("W/"):
            options["if_match"] = self._version[1]
        return await get_async(self._store, self._key, options=options)

    def _refuse(self, error: Exception, at: int, in_vain: int) -> None:
        """Raise ``Unreadable`` unless it is worth while to ask again for what begins *at* a byte."""
        from obstore import exceptions

        gone = FileNotFoundError, exceptions.PreconditionError
        if isinstance(error, gone) or status_of(error) == _NOT_SATISFIABLE:
            raise Unreadable(_CHANGED) from None
        denied = exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, exceptions.NotSupportedError
        if in_vain >= IN_VAIN or isinstance(error, denied) or not (self._ranges or at == 0):
            raise Unreadable(f"{in_words(error, self._address)} (asked for byte {at:,} and following)") from None

    def _look(self) -> ObjectMeta:
        """Find out what is there, with a request like those that read it."""
        store, key = open_store(self._address, "INPUT", patient=False)
        from obstore import get, head
        from obstore.exceptions import BaseError, NotSupportedError

        try:
            found = get(store, key, options={"range": (0, HEAD_BYTES)})
            self._head = bytes(found.bytes())
        except (BaseError, OSError, ValueError) as error:
            with suppress(BaseError, OSError, ValueError):
                meta = head(store, key)
                # An empty one has no first byte; and some web servers have no ranges.
                self._ranges = meta["size"] == 0
                if self._ranges or (isinstance(error, NotSupportedError)):
                    return meta
            raise InputFailed(f"{self.title}: {in_words(error, self._address)}; nothing was read") from None
        return found.meta


def write_object(address: str, pieces: Iterable[bytes], option: str) -> None:
    """Let the object at *address* hold *pieces*, all of them or none; a few parts of it are held at once.

    Args:
        address: in a store; web servers are only read.
        pieces: what is raised while they are taken is raised here, and nothing is written then.
        option: what holds the address, for errors.

    Raises:
        SettingsError: the address names none, the settings of its store are wrong, or obstore is not installed.
        OutputFailed: it cannot be written.
    """
    if scheme_of(address) == "https":
        problem = f"{input_name(address)} is on a web server, which is only read"
        raise SettingsError(option, problem, "give a path, or an address that begins with s3://, gs:// or az://")
    store, key = open_store(address, option, patient=True)
    from obstore import put
    from obstore.exceptions import BaseError

    failed: list[BaseException] = []
    try:
        put(store, key, _parts(pieces, failed), chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
    except (BaseError, OSError, ValueError) as error:
        if failed:
            raise failed[0] from None
        raise OutputFailed(f"{input_name(address)} cannot be written: {in_words(error, address, write=True)}") from None


def _parts(pieces: Iterable[bytes], failed: list[BaseException]) -> Iterable[bytes]:
    """*pieces*; what goes wrong with them is kept, for obstore makes another error of it."""
    try:
        yield from pieces
    except BaseException as error:
        failed.append(error)
        raise


def _version(meta: ObjectMeta) -> tuple[int, str | None, object]:
    """What another object at the same address does not share: its size, and its tag or else its date."""
    tag = meta["e_tag"]
    return meta["size"], tag, None if tag else meta["last_modified"]


async def _next(stream: BytesStream) -> bytes:
    """The next bytes; none at the end."""
    try:
        return await anext(stream)
    except StopAsyncIteration:
        return b""


async def _unless_woken(wake: int, call: Coroutine[Any, Any, T]) -> T:
    """What *call* gives; it is given up, and Stopped is raised, once *wake* is readable."""
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()
    loop.add_reader(wake, _settle, woken)
    asked = asyncio.ensure_future(call)
    try:
        await asyncio.wait((asked, woken), return_when=asyncio.FIRST_COMPLETED)
        if woken.done():
            raise Stopped
        return await asked
    finally:
        loop.remove_reader(wake)
        asked.cancel()


def _settle(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _task() -> asyncio.Task[Any] | None:
    """The task that waits here, if one does."""
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop
        return None


def _aside(look: Callable[[], T]) -> T:
    """What *look* gives, in a thread: a signal ends the wait for it, which may be one for a store that is silent."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(look())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            failed.append(error)

    thread = threading.Thread(target=run, name="veetro-batch look", daemon=True)
    thread.start()
    task = _task()
    while thread.is_alive():
        thread.join(_GLANCE)
        if task is not None and task.cancelling():  # Ctrl-C does that, and nobody would hear of it while we wait here
            raise asyncio.CancelledError
    if failed:
        raise failed[0]
    return done[0]
