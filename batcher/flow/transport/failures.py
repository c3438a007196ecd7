"""What a foreign error means: the one place where errors of aiohttp, asyncio, ssl and the system become ours."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientResponseError,
    ServerDisconnectedError,
)
from aiohttp.http import HttpProcessingError

from batcher.errors import ConnectFailed, ConnectionLost, ReplyTimeout, ReplyUnreadable, TransportError
from batcher.flow.transport.deadlines import Deadlines, Exchanging
from batcher.flow.transport.upload import Upload


def ending(error: BaseException, deadlines: Deadlines, task: Exchanging, upload: Upload) -> BaseException:
    """What the exchange of *upload* raises that *error* has ended, which is *error* itself where it is not foreign.

    It ends the deadline of the exchange, which *task* makes, too.
    """
    overdue = deadlines.end(task)
    if not isinstance(error, asyncio.CancelledError):
        # Whatever a peer can provoke in a foreign library ends this exchange, and not the run.
        return failure(error, upload) if isinstance(error, Exception) else error
    if overdue:
        return _cut_off(upload) if deadlines.closed else _out_of_time(upload, deadlines.timeout)
    if task.cancelling():
        return error
    # Nobody cancelled this task: the pool was closed under it.
    return _cut_off(upload)


def failure(error: Exception, upload: Upload) -> TransportError:
    """Our error for *error*, which ended the exchange of *upload*."""
    if isinstance(error, TransportError):
        return error
    if upload.transport is None:
        return _no_connection(error)
    if isinstance(error, ClientResponseError | HttpProcessingError):
        return ReplyUnreadable(f"the answer is no HTTP: {_first_line(error.message)}")
    return ConnectionLost(_loss(error), sent=upload.sent, fresh=upload.fresh)


def _cut_off(upload: Upload) -> TransportError:
    if upload.transport is None:
        return ConnectFailed("no connection: the transport was closed")
    return ConnectionLost("the transport was closed", sent=upload.sent, fresh=upload.fresh)


def _out_of_time(upload: Upload, timeout: float) -> TransportError:
    if upload.transport is None:
        return ConnectFailed(f"no connection within {timeout:g} s", timed_out=True)
    return ReplyTimeout(f"no whole answer within {timeout:g} s", sent=upload.sent)


def _no_connection(error: BaseException) -> ConnectFailed:
    cause = error.os_error if isinstance(error, ClientConnectorError) else error
    # A TimeoutError with a number is the system's own, ETIMEDOUT.
    timed_out = isinstance(cause, TimeoutError)
    if timed_out:
        return ConnectFailed("the connection could not be made in time", timed_out=True)
    if isinstance(error, ClientHttpProxyError):
        return ConnectFailed(f"the proxy refused: {error.status} {_first_line(error.message)}")
    if isinstance(error, ClientConnectorDNSError):
        return ConnectFailed(f"the host's name is not known: {_system_text(cause)}")
    if isinstance(error, ClientConnectorCertificateError):
        return ConnectFailed(f"the server's certificate is not accepted: {_system_text(error.certificate_error)}")
    if isinstance(cause, ssl.SSLError):
        return ConnectFailed(f"no TLS connection: {_system_text(cause)}")
    return ConnectFailed(f"no connection: {_system_text(cause)}")


def _loss(error: BaseException) -> str:
    if isinstance(error, ServerDisconnectedError):
        return "the server closed the connection without a whole answer"
    if isinstance(error, ClientPayloadError):
        return "the connection ended within the answer"
    return f"the connection was lost: {_system_text(error)}"


def _system_text(error: BaseException) -> str:
    """An error in the system's own words, which name no address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS error"
    if isinstance(error, socket.gaierror):
        return error.strerror or "unknown"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, RuntimeError | ValueError):
        return str(error)  # aiohttp's: its session is closed, a header cannot be sent
    return type(error).__name__


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200].rstrip(":")
