"""Files in the repository that code generates: writes them, or checks that they are up to date."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def outdated(folder: Path, contents: Mapping[str, str]) -> list[str]:
    """Returns the names of files that differ from `contents`, which is by name; also of others with such an ending."""
    endings = {Path(name).suffix for name in contents}
    found = {path.name: path.read_text() for path in folder.glob("*") if path.suffix in endings}
    return sorted(name for name in contents.keys() | found.keys() if contents.get(name) != found.get(name))


def write_or_check(folder: Path, contents: Mapping[str, str], module: str, arguments: Sequence[str]) -> int:
    """Runs the command of `python -m MODULE`, which writes `contents`, or with `--check` checks them.

    Returns its exit code: 1 for outdated files, 2 for wrong usage.
    """
    if list(arguments) not in ([], ["--check"]):
        print(f"python -m {module}\npython -m {module} --check", file=sys.stderr)
        return 2
    stale = outdated(folder, contents)
    if arguments:
        for name in stale:
            print(f"{folder / name} is not up to date: run python -m {module}", file=sys.stderr)
        return bool(stale)
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in contents:
            (folder / name).write_text(contents[name])
        else:
            (folder / name).unlink()
        print(f"{'wrote' if name in contents else 'removed'} {folder / name}")
    return 0
