"""Which commit of the project runs; needs the standard library alone, as for benchmarks without MLflow."""

import os
import subprocess
from pathlib import Path


def git_commit() -> str:
    """Returns the commit of the code that runs, with `-dirty` after it where files differ.

    Outside git that is $SIGNS_COMMIT, which an image is built with, or empty.
    """
    file = Path(__file__)
    # In a container the checkout may belong to somebody else, whom git does not trust by itself.
    git = ["git", "-C", str(file.parent), "-c", f"safe.directory={file.resolve().parents[1]}"]
    # A hook of git, in which this may run, has variables that lead to its own repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        # An environment may lie in the checkout of something else.
        subprocess.run(
            [*git, "ls-files", "--error-unmatch", file.name], capture_output=True, check=True, env=environment
        )
        return subprocess.run(describe, capture_output=True, text=True, check=True, env=environment).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("SIGNS_COMMIT", "")
