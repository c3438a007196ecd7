"""What Grafana does between a dashboard and Prometheus: puts values in the place of variables, and asks.

As ``@grafana/prometheus`` 13.2 does it (``escaping`` and ``datasource``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.prometheus.server import Prometheus

EVERY = "$__all"
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")
_LABEL_VALUES = re.compile(r"label_values\((.+), *(\w+)\)")


class Series(NamedTuple):
    """One series; *values* as pairs of a moment and a number, those that are none left out."""

    labels: dict[str, str]
    values: list[tuple[float, float]]


@dataclass(frozen=True)
class Grafana:
    """Shows *dashboard*.

    Attributes:
        start: of the time range, in seconds since 1970.
        end: likewise.
        step: seconds from point to point of a curve.
        scrape_interval: of the data source, in seconds, as its settings say.
        chosen: values of variables; all values of those that are not there.
    """

    prometheus: Prometheus
    dashboard: Mapping[str, Any]
    start: float
    end: float
    step: float = 0.5
    scrape_interval: float = 1.0
    chosen: Mapping[str, Sequence[str]] | None = None

    def ask(self, target: Mapping[str, Any]) -> list[Series]:
        """What a panel's query gives."""
        return self._instant(target["expr"]) if target["instant"] else self.curve(target["expr"])

    def curve(self, expr: str) -> list[Series]:
        """The values of a query over the time range."""
        parameters = {"start": f"{self.start:.3f}", "end": f"{self.end:.3f}", "step": str(self.step)}
        return self._get("query_range", "values", query=self.interpolated(expr), **parameters)

    def values(self, variable: Mapping[str, Any]) -> list[str]:
        """What there is to choose from."""
        found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
        assert found is not None
        selector, label = self.interpolated(found[1]), found[2]
        parameters = {"match[]": selector, "start": f"{self.start:.3f}", "end": f"{self.end:.3f}"}
        told = json.loads(self.prometheus.get(f"/api/v1/label/{label}/values", **parameters))
        return list(told["data"])

    def interpolated(self, text: str) -> str:
        """*text* with values in the place of variables."""
        return _VARIABLE.sub(lambda found: self._value(found[1] or found[2]), text)

    def _value(self, name: str) -> str:
        if name == "__rate_interval":
            return f"{max(self.step + self.scrape_interval, 4 * self.scrape_interval) * 1000:.0f}ms"
        if name == "__interval":
            return f"{self.step * 1000:.0f}ms"
        if name == "__range":
            return f"{round(self.end - self.start)}s"
        variable = next(known for known in self.dashboard["templating"]["list"] if known["name"] == name)
        chosen = (self.chosen or {}).get(name)
        if chosen is None:
            assert variable["current"]["value"] == [EVERY]
            return str(variable["allValue"])
        escaped = [_escaped(value) for value in chosen]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    def _instant(self, expr: str) -> list[Series]:
        return self._get("query", "value", query=self.interpolated(expr), time=f"{self.end:.3f}")

    def _get(self, what: str, values: str, **parameters: str) -> list[Series]:
        told = json.loads(self.prometheus.get(f"/api/v1/{what}", **parameters))
        found = []
        for entry in told["data"]["result"]:
            points = entry["values"] if values == "values" else [entry["value"]]
            numbers = [(float(moment), float(value)) for moment, value in points]
            found.append(Series(entry["metric"], [point for point in numbers if math.isfinite(point[1])]))
        return [series for series in found if series.values]


def _escaped(value: str) -> str:
    """A label's value within a pattern within a string of PromQL."""
    return re.sub(r"[$^*{}\[\]'+?.()|]", lambda found: rf"\\{found[0]}", value.replace("\\", "\\" * 4))
