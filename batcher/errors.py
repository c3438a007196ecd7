"""The errors of this package: ours alone, for what the service answers is a verdict and no error.

::

    BatcherError
    ├── SettingsError          an option is missing, unknown, malformed, or contradicts another      (exit 2)
    │   └── TemplateError      an operation's sample body cannot be compiled
    ├── RecordError            a line of input cannot become a correct envelope; the run goes on
    ├── TransportError         an exchange brought no answer; ``.sent`` tells what may have left us
    │   ├── ConnectFailed      DNS, TCP, TLS or proxy: no byte of the request left
    │   ├── ReplyTimeout       the attempt's time was up
    │   ├── ConnectionLost     the connection ended before the whole answer was there
    │   └── ReplyUnreadable    an answer came, but is no HTTP, cut, badly compressed or beyond the size limit
    └── RunAborted             the run cannot go on; carries the exit code
        ├── InputFailed        an input cannot be opened or read to its end                           (exit 9)
        ├── OutputFailed       results, rejects, summary or ledger cannot be written                  (exit 9)
        │   └── LedgerLost     another run has taken this ledger over                                 (exit 8)
        ├── ServiceUnusable    credentials are refused, or the service was down for too long          (exit 7)
        ├── LedgerInUse        another run writes this ledger                                         (exit 8)
        └── LedgerRefused      the ledger is damaged, or belongs to another input or service          (exit 9)

Facts are attributes; the text is made of them in ``__str__``; a cause is chained with ``from``.
"""

from __future__ import annotations


class BatcherError(Exception):
    """Base of every error that this package raises on purpose."""


class SettingsError(BatcherError):
    """An option that cannot be accepted.

    Attributes:
        option: its name as on the command line, ``--max-attempts``; or the name of what holds it.
        problem: what is wrong with it.
        remedy: what would be right; empty where the problem says it.
    """

    def __init__(self, option: str, problem: str, remedy: str = "") -> None:
        super().__init__(option, problem, remedy)
        self.option = option
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.option}: {self.problem}"
        return f"{text}; {self.remedy}" if self.remedy else text


class TemplateError(SettingsError):
    """An operation's sample body that is not well-formed or uses a type that we do not know."""


class RecordError(BatcherError):
    """A line that cannot become a correct envelope.

    Attributes:
        kind: one of the closed set of kinds of invalid records, such as ``bad_datetime``.
        message: what is wrong and what would be right, for people.
        field: the field at fault, or None where the line as a whole is.
        line: the physical line within its input, from 1; 0 while unknown.
    """

    def __init__(self, kind: str, message: str, field: str | None = None, line: int = 0) -> None:
        super().__init__(kind, message, field, line)
        self.kind = kind
        self.message = message
        self.field = field
        self.line = line

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        what = f"{self.field}: " if self.field else ""
        return f"{where}{what}{self.message} ({self.kind})"


class TransportError(BatcherError):
    """An exchange that brought no answer.

    Attributes:
        reason: what happened, for people, without addresses of other systems' internals.
        sent: False only where the whole request certainly did not leave us; True says "perhaps".
        timed_out: time was up, rather than an error reported.
        fresh: it was the first exchange on its connection (a loss then is the server's, not a stale keep-alive's).
    """

    def __init__(self, reason: str, *, sent: bool, timed_out: bool = False, fresh: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.timed_out = timed_out
        self.fresh = fresh

    def __str__(self) -> str:
        return self.reason


class ConnectFailed(TransportError):
    """No connection: no byte of the request left us."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason, sent=False, timed_out=timed_out, fresh=True)


class ReplyTimeout(TransportError):
    """The attempt's time was up before the whole answer was there."""

    def __init__(self, reason: str, *, sent: bool = True) -> None:
        super().__init__(reason, sent=sent, timed_out=True)


class ConnectionLost(TransportError):
    """The connection ended before the whole answer was there."""


class ReplyUnreadable(TransportError):
    """Something came back that is no whole HTTP answer within the size limit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, sent=True)


class RunAborted(BatcherError):
    """The run cannot go on.

    Attributes:
        exit_code: what the process ends with.
    """

    exit_code = 1


class InputFailed(RunAborted):
    """An input cannot be opened, or cannot be read to its end."""

    exit_code = 9


class OutputFailed(RunAborted):
    """Results, rejects or the summary cannot be written."""

    exit_code = 9


class LedgerLost(OutputFailed):
    """Another run has taken the ledger over: this one was cut off for longer than its lease."""

    exit_code = 8


class ServiceUnusable(RunAborted):
    """Credentials are refused, or the service was unusable for too long."""

    exit_code = 7


class LedgerInUse(RunAborted):
    """Another run writes this ledger."""

    exit_code = 8


class LedgerRefused(RunAborted):
    """The ledger is damaged or of another format, or belongs to another input, service or way of sending."""

    exit_code = 9
