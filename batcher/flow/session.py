"""The session that requests are sent in: one login for all workers, or a key that somebody else got.

The key travels in the HTTP header ``VeetroSession``. A login's answer is read like any other; its Code is ``Success``,
or else says why not, at HTTP status 200.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from batcher.core.answer import Matcher
from batcher.core.events import LoggedIn, Observer
from batcher.core.fingerprint import one_line
from batcher.core.reply import Judge, judge_failure
from batcher.core.soap import Soap
from batcher.core.template import Operation, Template
from batcher.core.verdict import Judgement, Problem, Verdict
from batcher.errors import RecordError, ServiceUnusable, SettingsError, TransportError
from batcher.flow.transport import Transport
from batcher.values import Secret

HEADER = "VeetroSession"


class Credentials(NamedTuple):
    """Who logs in."""

    email: str
    password: Secret


class Session:
    """Gives requests their headers.

    Args:
        operation: whose requests these are.
        login: the operation that logs in; its request has ``email`` and ``pass``, its result Code and SessionKey.
        soap: the version of both.
        judge: what the answers to *operation* are judged by; its patterns serve the login too, and its mask learns
            of password and keys.
        transport: what sends the login.
        observer: hears of logins.
        wall: the time of day.
        credentials: for the login; without them nobody logs in.
        key: a session key to begin with.
        reread: reads the key again where it came from, when it is lost; None if it cannot change.

    Attributes:
        headers: of a request now.
        can_log_in: there are credentials.
        can_renew: there are, or the key can be read again.
        needs_login: nothing can be sent before ``renew``.
    """

    def __init__(
        self,
        operation: Operation,
        login: Operation,
        soap: Soap,
        judge: Judge,
        transport: Transport,
        observer: Observer,
        wall: Callable[[], float],
        *,
        credentials: Credentials | None = None,
        key: Secret | None = None,
        reread: Callable[[], Secret] | None = None,
    ) -> None:
        self._plain = dict(soap.headers(operation.action))
        self.headers: Mapping[str, str] = self._plain
        self._mask = judge.mask
        self._login_judge: Judge | None = None
        self._key = key
        if key is not None:
            self._use(key)
        self._reread = reread
        self._transport = transport
        self._observer = observer
        self._wall = wall
        self.can_log_in = credentials is not None
        self.can_renew = self.can_log_in or reread is not None
        self.needs_login = credentials is not None and key is None
        self._login_headers = soap.headers(login.action)
        self._login_body = b""
        if credentials is not None:
            self._login_judge = Judge(Matcher(login, soap), judge.session_pattern, judge.transient_pattern, self._mask)
            self._mask.add(credentials.password)
            values = {"email": credentials.email, "pass": credentials.password.reveal()}
            try:
                self._login_body, _ = Template(login, soap).render(values)
            except RecordError as error:
                option = "--email" if error.field == "email" else "--password-file"
                raise SettingsError(option, f"cannot be sent: {error.message}") from None

    async def renew(self) -> Judgement | None:
        """Begin a new session: log in, or read the key again.

        Returns:
            None once it has begun; else what was wrong, as of any other attempt: the service may be down, or the key
            is still the lost one.

        Raises:
            ServiceUnusable: the credentials are refused.
        """
        if self._login_judge is None:
            return self._renew_key()
        try:
            answer = await self._transport.exchange(self._login_body, self._login_headers)
        except TransportError as error:
            judgement = judge_failure(error, self._mask)
        else:
            judgement = self._login_judge.judge(answer.status, answer.headers, answer.body, self._wall())
        if judgement.verdict is not Verdict.ACCEPTED:
            self._observer.notice(LoggedIn("failed", judgement.problem.message if judgement.problem else ""))
            return judgement
        result: dict[str, Any] = orjson.loads(judgement.result)
        code, key = result.get("Code"), result.get("SessionKey")
        if code != "Success" or not isinstance(key, str) or not (key.isascii() and key.isprintable() and key.strip()):
            said = "Success without a key that a header takes"
            if code != "Success":
                said = one_line(self._mask.hide(str(code)), 80)
            self._observer.notice(LoggedIn("refused", said))
            raise ServiceUnusable(f"the login was refused ({said}); check --email and the password")
        self._use(Secret(key))
        self.needs_login = False
        self._observer.notice(LoggedIn("success", ""))
        return None

    def _renew_key(self) -> Judgement | None:
        try:
            key = self._reread() if self._reread is not None else None
        except SettingsError as error:
            return Judgement(Verdict.NO_SESSION, problem=Problem("http_error", one_line(str(error))))
        if key is None or key == self._key:
            return Judgement(Verdict.NO_SESSION, problem=Problem("http_error", self._why_no_key()))
        self._use(key)
        return None

    def _why_no_key(self) -> str:
        if self._key is None:
            return "the service asks for a login, and none is given (--email, --session-file or VEETRO_BATCH_SESSION)"
        if self._reread is None:
            return "the session of VEETRO_BATCH_SESSION is lost (--session-file is read again, --email logs in again)"
        return "the session is lost, and --session-file still holds its key"

    def _use(self, key: Secret) -> None:
        self._key = key
        self._mask.add(key)
        self.headers = self._plain | {HEADER: key.reveal()}
