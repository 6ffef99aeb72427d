"""Which folder may import which, and within `export` which module: imports go down the layers, never in a circle."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each folder, and what of ours it may import; docs/architecture.md draws the same.
LAYERS: dict[str, set[str]] = {
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
# The layers of `export`, the lowest first: a module may import its own layer and those below. Of a module and its
# package the longer name counts.
EXPORT_LAYERS: tuple[set[str], ...] = (
    {"errors", "arrays", "precision", "parity", "settings", "reference", "quantizable_nodes"},
    {"repository", "devices", "hardware_fit", "fixed_batch"},
    {"gate.config", "gate.verdict", "gate.statistics", "gate.rules", "gate.detection"},
    {"model_kind", "config", "explanation", "tuning.config", "tuning.plan"},
    {
        *("kinds", "classification_parity", "detection_parity", "local_recognizer"),
        "evaluation.scenes",
    },
    {"predictor", "samples", "proof", "conversion", "fp16", "quantization", "speed", "precision_search", "gpu_file"},
    {
        *("run", "recheck_parity", "serving_plan", "config_lookup", "engine", "tensorrt_build", "recognizer"),
        *("drift_reference", "evaluation", "gate", "tuning"),
    },
)
OURS = {"traffic_signs", "traffic_sign_client", "training", "serving", "export", "monitoring", "clients"}


def package_of(module: str) -> str:
    """Returns the folder that a module belongs to, dotted; of clients its second level."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "clients" else parts[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """Yields each module that a file imports, also within functions and for type checkers alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[2:] if parts[:2] == ("clients", "python") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for folder in LAYERS for path in (ROOT / folder).rglob("*.py")}
EXPORT = {name: path for name, path in MODULES.items() if name.startswith("export.")}


def of_ours(tree: ast.AST) -> set[str]:
    """Returns the modules of ours that a file imports."""
    found = {name if name in MODULES else name.rpartition(".")[0] for name in imports(tree)}
    return found & MODULES.keys()


def with_packages(module: str) -> list[str]:
    """Returns a module after the packages that it is in, which Python imports first."""
    parts = module.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def export_layer(module: str) -> int:
    for name in reversed(with_packages(module.removeprefix("export."))):
        for number, layer in enumerate(EXPORT_LAYERS):
            if name in layer:
                return number
    raise AssertionError(f"{module} has no layer: give it one here and in docs/architecture.md")


@pytest.mark.parametrize("folder", LAYERS)
def test_imports_go_down(folder: str) -> None:
    own = package_of(folder.removeprefix("clients/python/").replace("/", "."))
    upwards = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (ROOT / folder).rglob("*.py")
        for module in imports(parse(path))
        if module.split(".")[0] in OURS and package_of(module) not in LAYERS[folder] | {own}
    ]
    assert upwards == []


def test_every_folder_of_modules_has_its_floor() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"clients"}
    packages |= {f"clients/{path.parent.name}" for path in ROOT.glob("clients/*/__init__.py")}
    assert packages | {"clients/python/traffic_sign_client"} == set(LAYERS)


def test_no_folder_imports_in_a_circle() -> None:
    below = {package_of(folder.removeprefix("clients/python/").replace("/", ".")): LAYERS[folder] for folder in LAYERS}
    while below:
        free = [folder for folder, allowed in below.items() if not allowed & set(below)]
        assert free, f"a circle among {sorted(below)}"
        for folder in free:
            del below[folder]


def test_no_module_imports_in_a_circle() -> None:
    graph = {
        name: {
            package
            for imported in of_ours(parse(path))
            for package in with_packages(imported)
            if package in MODULES and not f"{name}.".startswith(f"{package}.")
        }
        for name, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_imports_within_export_go_down() -> None:
    upwards = [
        f"{name} imports {imported}"
        for name, path in EXPORT.items()
        for imported in of_ours(parse(path)) & EXPORT.keys()
        if export_layer(imported) > export_layer(name)
    ]
    assert upwards == []


def test_modules_of_export_import_each_other_at_the_top_of_the_file() -> None:
    """So that the order of the layers is the order of the imports, and none hides in a function."""
    hidden = [
        f"{name} imports {imported}"
        for name, path in EXPORT.items()
        for statement in parse(path).body
        if not isinstance(statement, ast.Import | ast.ImportFrom)
        for imported in of_ours(statement) & EXPORT.keys()
    ]
    assert hidden == []
