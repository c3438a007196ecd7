"""The comparison as a Markdown table, as JSON, and as a picture."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_BARE = "aiohttp session.post alone"
_OURS = "veetro-batch"
_PACKAGES = ("aiohttp", "lxml", "orjson", "uvloop", "zeep", "httpx", "requests")


@dataclass
class Row:
    """What was found of one contender: µs a record, one figure a round, or why it was *skipped*."""

    name: str
    does: str
    leaves_out: str
    figures: list[float] = field(default_factory=list)
    skipped: str | None = None

    @property
    def median(self) -> float:
        """Of the figures."""
        return statistics.median(self.figures)


def write(rows: list[Row], rounds: int, records: int, folder: Path | None) -> str:
    """Write table, JSON and picture into *folder*; returns the table."""
    told = table(rows, rounds, records)
    if folder is not None:
        folder.mkdir(exist_ok=True)
        (folder / "peers.md").write_text(told + "\n")
        (folder / "peers.json").write_text(json.dumps(_as_json(rows, rounds, records), indent=1) + "\n")
        _draw([row for row in rows if row.figures], folder / "peers.svg")
    return told


def table(rows: list[Row], rounds: int, records: int) -> str:
    """The table, in Markdown, cheapest first; those that were skipped stand last, with the reason."""
    bare = next((row.median for row in rows if row.name == _BARE and row.figures), None)
    measured = sorted((row for row in rows if row.figures), key=lambda row: row.median)
    lines = [
        "| | CPU µs a record | lowest to highest | of `session.post` | what it does | what it leaves out |",
        "|---|--:|--:|--:|---|---|",
    ]
    for row in measured:
        name = f"**{row.name}**" if row.name.startswith(_OURS) else row.name
        spread = f"{min(row.figures):.1f} to {max(row.figures):.1f}"
        ratio = f"{row.median / bare:.2f}" if bare else ""
        lines.append(f"| {name} | {row.median:.1f} | {spread} | {ratio} | {row.does} | {row.leaves_out} |")
    lines += [f"| {row.name} | skipped | | | {_one_line(row.skipped)} | |" for row in rows if row.skipped is not None]
    machine = _machine()
    return "\n".join(
        [
            *lines,
            "",
            f"Medians of {rounds} interleaved rounds of {records:,} records (slow ones get fewer); {machine['cpu']}, "
            f"{machine['cores']} cores, Python {machine['python']}; "
            + ", ".join(f"{name} {version}" for name, version in _versions().items())
            + ".",
        ]
    )


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")


def _as_json(rows: list[Row], rounds: int, records: int) -> dict[str, object]:
    return {
        "unit": "CPU microseconds, user and system, of the client's process tree, a record",
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "rounds": rounds,
        "records": records,
        "machine": _machine(),
        "versions": _versions(),
        "contenders": [
            {
                "name": row.name,
                "median": round(row.median, 2) if row.figures else None,
                "figures": [round(figure, 2) for figure in row.figures],
                "does": row.does,
                "leaves_out": row.leaves_out,
                "skipped": row.skipped,
            }
            for row in rows
        ],
    }


def _machine() -> dict[str, str]:
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    cpu = found.group(1).strip() if found else platform.machine()
    return {"cpu": cpu, "cores": str(os.cpu_count()), "python": platform.python_version()}


def _versions() -> dict[str, str]:
    """Of Python's packages, and of Debian's by its own books; node-soap's is in ``package.json``."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    manifest = json.loads(Path(__file__).with_name("package.json").read_text())
    versions["node-soap"] = manifest["dependencies"]["soap"]
    for name in ("nodejs", "wrk", "hey", "nginx"):
        query = ["dpkg-query", "--showformat=${Version}", "--show", name]
        found = subprocess.run(query, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            versions[name] = found.stdout
    return versions


def _draw(rows: list[Row], path: Path) -> None:
    """A bar a contender, on a logarithmic scale, the whisker from the lowest to the highest round."""
    import matplotlib as mpl  # noqa: PLC0415 - only this command needs it, and it takes a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    ordered = sorted(rows, key=lambda row: row.median, reverse=True)
    medians = [row.median for row in ordered]
    whiskers = [
        [row.median - min(row.figures) for row in ordered],
        [max(row.figures) - row.median for row in ordered],
    ]
    colours = ["#0b6e4f" if row.name.startswith(_OURS) else "#9aa5b1" for row in ordered]
    mpl.rcParams.update({"svg.hashsalt": "peers", "svg.fonttype": "none"})  # the same file each time; text is text
    figure = Figure(figsize=(8, 0.42 * len(ordered) + 1), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([row.name for row in ordered], medians, xerr=whiskers, color=colours, ecolor="#52606d", log=True)
    axes.bar_label(bars, labels=[f" {median:,.0f}" for median in medians], padding=3)
    axes.set_xlabel("CPU µs a record, user and system (logarithmic; less is better)")
    axes.set_xlim(left=1, right=max(medians) * 3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
