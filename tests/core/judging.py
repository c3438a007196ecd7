"""What judges answers as a run with its default settings does."""

from __future__ import annotations

from batcher.core.answer import Matcher
from batcher.core.reply import Judge
from batcher.core.soap import SOAP_11, SOAP_12
from batcher.core.verdict import Judgement
from batcher.options.texts import SESSION_FAULT, TRANSIENT_FAULT
from tests.core.samples import SET_RECORD

WALL = 1_700_000_000.0
SOAPS = {"1.1": SOAP_11, "1.2": SOAP_12}
JUDGES = {
    version: Judge(Matcher(SET_RECORD, soap, ("SourceID",)), SESSION_FAULT, TRANSIENT_FAULT)
    for version, soap in SOAPS.items()
}


def judge(status: int, body: bytes = b"", headers: dict[str, str] | None = None, version: str = "1.1") -> Judgement:
    return JUDGES[version].judge(status, headers or {}, body, WALL)
