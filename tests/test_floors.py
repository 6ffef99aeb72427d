"""Which folder may import which: imports go down the floors, never up, and no folder reaches into the command line."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each folder, and what of ours it may import; docs/architecture.md draws the same.
FLOORS: dict[str, set[str]] = {
    "traffic_signs": set(),
    "clients/python/traffic_sign_client": set(),
    "training": {"traffic_signs"},
    "serving": {"traffic_signs"},
    "export": {"traffic_signs", "traffic_sign_client", "training", "serving"},
    "monitoring": {"traffic_signs", "training", "serving", "export"},
    "clients/gateway": {"traffic_signs", "traffic_sign_client", "training", "serving"},
    "clients/benchmark": {"traffic_signs", "traffic_sign_client", "training", "serving", "export"},
    "clients/prediction": {"traffic_signs", "traffic_sign_client"},
    "clients/command": {
        *("traffic_signs", "traffic_sign_client", "training", "serving", "export", "monitoring"),
        *("clients.gateway", "clients.benchmark", "clients.prediction"),
    },
}
OURS = {"traffic_signs", "traffic_sign_client", "training", "serving", "export", "monitoring", "clients"}


def room(module: str) -> str:
    """Returns the folder that a module belongs to, dotted; of clients its second level."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "clients" else parts[0]


def imports(path: Path) -> Iterator[str]:
    """Yields each module that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", FLOORS)
def test_imports_go_down(folder: str) -> None:
    own = room(folder.removeprefix("clients/python/").replace("/", "."))
    upwards = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (ROOT / folder).rglob("*.py")
        for module in imports(path)
        if module.split(".")[0] in OURS and room(module) not in FLOORS[folder] | {own}
    ]
    assert upwards == []


def test_every_folder_of_modules_has_its_floor() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"clients"}
    packages |= {f"clients/{path.parent.name}" for path in ROOT.glob("clients/*/__init__.py")}
    assert packages | {"clients/python/traffic_sign_client"} == set(FLOORS)


def test_no_folder_imports_in_a_circle() -> None:
    below = {room(folder.removeprefix("clients/python/").replace("/", ".")): FLOORS[folder] for folder in FLOORS}
    while below:
        free = [folder for folder, allowed in below.items() if not allowed & set(below)]
        assert free, f"a circle among {sorted(below)}"
        for folder in free:
            del below[folder]
