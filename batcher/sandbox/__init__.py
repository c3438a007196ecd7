"""An embedded stand-in of the Veetro (WORKetc) web service: answers, faults on demand, the truth of what was applied.

`service` decides what a request means, `answers` and `replies` what is said, `wire` how it is written, `server` when.
Where the vendor documents nothing it does what ASP.NET does: its published source, and an ASMX service under Mono.
"""

from batcher.sandbox.faults import KINDS as FAULT_KINDS
from batcher.sandbox.faults import parse_faults
from batcher.sandbox.records import sample_records
from batcher.sandbox.server import Sandbox
from batcher.sandbox.settings import SandboxSettings
from batcher.sandbox.state import Stats

__all__ = ["FAULT_KINDS", "Sandbox", "SandboxSettings", "Stats", "parse_faults", "sample_records"]
