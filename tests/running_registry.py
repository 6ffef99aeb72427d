"""A real registry of OCI artifacts on this machine: Debian's docker-registry."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Signed

START_S = 30.0
USER, PASSWORD = "pusher", "s3cret"
HASHED = "$2b$04$gBQBy/pkRlSl/Rm4Ca2as.DH3efavMZ6CpiiIDDi7nVsp53avtdiC"  # the password, by bcrypt


@dataclass(frozen=True)
class RunningRegistry:
    """A registry that answers.

    Attributes:
        host: its host:port.
        blobs: folder of what it keeps, a folder for each digest.
    """

    host: str
    blobs: Path

    @property
    def address(self) -> str:
        """A repository in it."""
        return f"oci://{self.host}/signs/models"

    def blob(self, digest: str) -> Path:
        """Returns the file of a blob or a manifest."""
        value = digest.removeprefix("sha256:")
        return self.blobs / value[:2] / value / "data"


@contextlib.contextmanager
def running_registry(
    folder: Path, login: bool = False, tls: Signed | None = None, address: str = "127.0.0.1"
) -> Iterator[RunningRegistry]:
    """Runs a registry until the block ends; skips where there is none.

    Args:
        folder: for its files.
        login: whether it lets in only USER with PASSWORD.
        tls: its certificate and key; without one it speaks plain HTTP.
        address: where it listens; [::1] too.
    """
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no docker-registry: install it, as with `apt-get install docker-registry`")
    folder.mkdir(parents=True, exist_ok=True)
    host = address.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": {"addr": f"{address}:{port}", "secret": "made-up"},
    }
    if tls:
        config["http"]["tls"] = {"certificate": str(tls.certificate), "key": str(tls.key)}
    if login:
        (folder / "htpasswd").write_text(f"{USER}:{HASHED}\n")
        config["auth"] = {"htpasswd": {"realm": "signs", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_text(json.dumps(config))  # which is YAML too
    log = folder / "registry.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", str(folder / "config.yml")], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket(family) as probe:
                if probe.connect_ex((host, port)) == 0:
                    break
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield RunningRegistry(f"{address}:{port}", folder / "storage" / "docker/registry/v2/blobs/sha256")
    finally:
        process.terminate()
        process.wait(30)
