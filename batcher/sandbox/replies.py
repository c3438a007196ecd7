"""Replies that do not come of the request's content: faults on demand, lost sessions, pages of IIS and of proxies."""

import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from batcher.sandbox import answers
from batcher.sandbox.answers import Dialect, Reply, page
from batcher.sandbox.fields import INDEX, Record

__all__ = [
    "HELP_PAGE",
    "NOT_FOUND",
    "QUEUE_FULL",
    "SESSION_LOSSES",
    "WRONG_METHOD",
    "lost_session",
    "mangled",
    "refusal",
]

HELP_PAGE: Final = page(200, "Veetro Web Service", "The operations are AuthenticateWebSafe and SetOutlookSyncRecord.")
NOT_FOUND: Final = page(404, "404 - File or directory not found.", "The resource might have been removed or renamed.")
WRONG_METHOD: Final = page(405, "405 - HTTP verb not allowed.", "The verb is not allowed.", (("Allow", "GET, POST"),))
QUEUE_FULL: Final = page(503, "Service Unavailable", "HTTP Error 503. The service is unavailable.")
_LOGIN_PAGE: Final = page(200, "Log in", "Please log in with your email and password to continue.")
_UNAUTHORIZED: Final = page(
    401, "401 - Unauthorized: Access is denied.", "The credentials that you supplied are invalid."
)
_NO_SESSION: Final = "Your session has expired. Please log in again."

SESSION_LOSSES: Final = ("fault", "401", "redirect", "html")
"""What a call without a valid session can get."""

_BOMB_BLOCK: Final = 1024 * 1024
_BOMB_BLOCKS: Final = 64

_PAGES: Final = {
    "busy": page(503, "Service Unavailable", "The server is too busy.", (("Retry-After", "1"),)),
    "throttle": page(429, "Too Many Requests", "Slow down."),
    "gateway": page(502, "502 Bad Gateway", "The upstream server cannot be reached."),
    "gateway_applied": page(504, "504 Gateway Time-out", "The upstream server did not answer in time."),
    "error_page": page(500, "Server Error in '/' Application.", "Runtime Error"),
    "maintenance": page(200, "Scheduled maintenance", "We will be back in a few minutes."),
    "login_page": _LOGIN_PAGE,
    "unauthorized": _UNAUTHORIZED,
    "not_found": NOT_FOUND,
    "empty": Reply(200, "text/xml; charset=utf-8"),
}
_SOAP_FAULTS: Final[dict[str, tuple[Callable[[Dialect, str], Reply], str]]] = {
    "server": (answers.server_fault, "Object reference not set to an instance of an object."),
    "deadlock": (
        answers.server_fault,
        (
            "Transaction (Process ID 57) was deadlocked on lock resources with another process and has been chosen as "
            "the deadlock victim. Rerun the transaction."
        ),
    ),
    "late_server": (answers.server_fault, "The record was saved, but the notification could not be sent."),
    "client": (
        answers.client_fault,
        "There is an error in XML document (1, 412). ---> Input string was not in a correct format.",
    ),
}


def refusal(kind: str, dialect: Dialect) -> Reply | None:
    """The whole reply of a fault kind that has one of its own; None where the good answer is sent, or nothing."""
    if kind in _SOAP_FAULTS:
        make, text = _SOAP_FAULTS[kind]
        return make(dialect, text)
    if kind == "no_result":
        return answers.no_result(dialect, "SetOutlookSyncRecord")
    return _PAGES.get(kind)


def mangled(kind: str | None, dialect: Dialect, record: Record, *, gzip: bool) -> Reply:
    """The good answer for the saved *record*, in the shape that *kind* gives it.

    *gzip* tells whether the client accepts a compressed answer.
    """
    if kind == "strange_text":
        return answers.saved(dialect, record, raw="&#xB;")
    if kind == "entities":
        return _entities(dialect, record)
    if kind == "bomb" and gzip:
        return Reply(200, dialect.content_type, _bomb(), (("Content-Encoding", "gzip"),))
    reply = answers.saved(dialect, record)
    if kind == "gzip" and gzip:
        packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
        packed = packer.compress(reply.body) + packer.flush()
        return Reply(reply.status, reply.content_type, packed, (*reply.headers, ("Content-Encoding", "gzip")))
    return reply


def lost_session(loss: str, dialect: Dialect) -> Reply:
    """What a call without a valid session gets; *loss* is one of `SESSION_LOSSES`."""
    if loss == "401":
        return _UNAUTHORIZED
    if loss == "redirect":
        return page(302, "Object moved", "Object moved to the login page.", (("Location", "/login?ReturnUrl=%2fxml"),))
    if loss == "html":
        return _LOGIN_PAGE
    return answers.server_fault(dialect, _NO_SESSION)


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    block = b" " * _BOMB_BLOCK
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    return b"".join(packer.compress(block) for _ in range(_BOMB_BLOCKS)) + packer.flush()


def _entities(dialect: Dialect, record: Record) -> Reply:
    index = INDEX["ErrorMsg"]
    marked = (*record[:index], None, *record[index + 1 :])
    reply = answers.saved(dialect, marked, raw="&e9;")
    levels = "".join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">' for level in range(1, 10))
    doctype = f'<!DOCTYPE soap:Envelope [<!ENTITY e0 "ha">{levels}]>'.encode()
    return Reply(200, reply.content_type, reply.body.replace(b"?>", b"?>" + doctype, 1))
