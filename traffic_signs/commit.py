"""Finds the git commit of the running code with the standard library alone."""

import os
import subprocess
from pathlib import Path


def git_commit() -> str:
    """Returns the commit of the running code, with the suffix `-dirty` if tracked files have changed.

    Outside a git checkout it returns $SIGNS_COMMIT, which container images set, or an empty string.
    """
    file = Path(__file__)
    # In a container the checkout may belong to another user, and git refuses such a folder by default.
    git = ["git", "-C", str(file.parent), "-c", f"safe.directory={file.resolve().parents[1]}"]
    # Inside a git hook, GIT_* variables would point to the hook's repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        # The virtual environment may lie in the checkout of another project.
        subprocess.run(
            [*git, "ls-files", "--error-unmatch", file.name], capture_output=True, check=True, env=environment
        )
        return subprocess.run(describe, capture_output=True, text=True, check=True, env=environment).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("SIGNS_COMMIT", "")
