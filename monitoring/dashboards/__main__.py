"""Writes the dashboards, or checks that the files are up to date.

python -m monitoring.dashboards
python -m monitoring.dashboards --check
"""

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.panels import build
from traffic_signs.generated_files import write_or_check

SOURCES = Path(__file__).parent
FOLDER = SOURCES.parent / "grafana" / "dashboards"


def contents() -> dict[str, str]:
    """Returns the content of each file by its name."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {
        f"{path.stem}.json": encoder.encode(_numbered(build(path).build())) + "\n"
        for path in sorted(SOURCES.glob("*.yaml"))
    }


def _numbered(new: Dashboard) -> Dashboard:
    """Gives the panels fixed ids, so that links to them do not change when Grafana restarts."""
    for number, panel in enumerate(new.panels or [], start=1):
        panel.id_val = number
    return new


if __name__ == "__main__":
    sys.exit(write_or_check(FOLDER, contents(), "monitoring.dashboards", sys.argv[1:]))
