"""Writes the dashboards, or checks that the files are up to date.

python -m monitoring.dashboards
python -m monitoring.dashboards --check
"""

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards import capacity, pipeline, quality, service

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"
PAGES = {"service": service.build, "quality": quality.build, "pipeline": pipeline.build, "capacity": capacity.build}


def contents() -> dict[str, str]:
    """Returns the content of each file by its name."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {f"{name}.json": encoder.encode(_numbered(build().build())) + "\n" for name, build in PAGES.items()}


def outdated(folder: Path = FOLDER) -> list[str]:
    """Returns the names of files that differ from what the code generates, or that it does not generate."""
    wanted = contents()
    found = {path.name: path.read_text() for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def _numbered(new: Dashboard) -> Dashboard:
    """Gives the panels fixed ids, so that links to them do not change when Grafana restarts."""
    for number, panel in enumerate(new.panels or [], start=1):
        panel.id_val = number
    return new


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = outdated()
    if arguments:
        for name in stale:
            print(f"{FOLDER / name} is not up to date: run `make dashboards`", file=sys.stderr)
        return bool(stale)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        content = contents().get(name)
        if content is None:
            (FOLDER / name).unlink()
        else:
            (FOLDER / name).write_text(content)
        print(f"{'removed' if content is None else 'wrote'} {FOLDER / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
