"""Make the PrometheusRule out of the rules that Prometheus itself reads: ``python -m deploy.kubernetes.make``.

Kustomize cannot put a plain file into a resource, and rules that stand in two places by hand drift apart.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

HERE = Path(__file__).parent
FILE = HERE / "monitoring" / "rules.yaml"
_RULES = HERE.parent / "prometheus"
_HEAD = """\
# Made from deploy/prometheus by `python -m deploy.kubernetes.make`: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: veetro-batch
spec:
  groups:
"""


def rules() -> str:
    """The resource, as it stands in the file: both files' groups, two steps further in."""
    groups = ((_RULES / name).read_text().split("\ngroups:\n")[1] for name in ("recording.yml", "alerts.yml"))
    return _HEAD + "\n".join(textwrap.indent(group, "  ") for group in groups)


if __name__ == "__main__":
    FILE.write_text(rules())
