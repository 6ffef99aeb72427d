"""Which commit of the project runs; needs the standard library alone, as for benchmarks without MLflow."""

import os
import subprocess
from pathlib import Path


def git_commit() -> str:
    """Returns the commit of the code that runs, with `-dirty` after it where files differ.

    Outside git that is $SIGNS_COMMIT, which an image is built with, or empty.
    """
    file = Path(__file__)
    git = ["git", "-C", str(file.parent)]
    describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        # An environment may lie in the checkout of something else.
        subprocess.run([*git, "ls-files", "--error-unmatch", file.name], capture_output=True, check=True)
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("SIGNS_COMMIT", "")
