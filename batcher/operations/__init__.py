"""The operations, one file each: the vendor's sample bodies, and what is known of the operation. No code.

A file's root element says ``soap-action``; ``creates-when-zero``, the field whose 0 makes the service create something,
so that a request with it is not safe to send again; and ``order-by``, the field whose records are kept in order.
"""

from __future__ import annotations

from pathlib import Path

from batcher.core.template import Operation


def load(name: str) -> Operation:
    """The operation called *name*, such as ``SetOutlookSyncRecord``.

    Raises:
        TemplateError: its file cannot be compiled.
    """
    # Not importlib.resources, which takes as long to load as lxml: lxml could not be read out of a zip file either.
    return Operation.parse(Path(__file__).with_name(f"{name}.xml").read_bytes())
