"""Everybody who takes part in one task, alike: settings to try, and a server for each of them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clients.benchmark.peers import triton
from clients.benchmark.peers.environments import folder_of, installed_version, prepare
from clients.benchmark.peers.exchange import Exchange
from clients.benchmark.peers.figures import Point
from clients.benchmark.peers.models import Work
from clients.benchmark.peers.running import HOST, Endpoint, free_port, running
from clients.benchmark.peers.servers import PEERS, TRITON, TRITON_TITLE, Peer, environment_of
from serving.install import Installation
from traffic_sign_client.errors import ClientError

Say = Callable[[str], None]
Serve = Callable[[Any, Path], contextlib.AbstractContextManager[Endpoint]]


@dataclass
class ServerUnderTest:
    """A server in one task, and what has become of it.

    Attributes:
        name: of the peer, or `triton`.
        title: for people.
        exchange: how it is asked.
        settings: to try.
        serve: starts it with a setting, given an empty folder.
        versions: of what it is made of.
        setting: that was chosen.
        tried: images a second of each setting, or why it failed.
        points: of all rounds.
        checked: answers that were compared with ONNX Runtime's.
        difference: the largest of them.
        problem: why it is out; empty while it is not.
    """

    name: str
    title: str
    exchange: Exchange
    settings: list[Any]
    serve: Serve
    versions: str = ""
    setting: Any = None
    tried: list[dict[str, Any]] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    checked: int = 0
    difference: float = 0.0
    problem: str = ""


def described(setting: Any) -> str:
    """Returns a setting for people."""
    return (
        ", ".join(f"{name} {value}" for name, value in setting.items()) if isinstance(setting, dict) else str(setting)
    )


def gather(
    names: Sequence[str], work: Work, repository: Path, installation: Installation | None, home: Path, say: Say
) -> list[ServerUnderTest]:
    """Returns those who take part, with their environments made; who cannot be installed has a problem.

    Args:
        names: of them.
        work: what they are asked.
        repository: that Triton's models are in.
        installation: the tritonserver, where it takes part.
        home: folder of the environments.
        say: receives what is happening.
    """
    found = [_peer(peer, work, home, say) for peer in PEERS if peer.name in names]
    if installation is not None:
        found.append(_triton(installation, work, repository))
    return found


def _peer(peer: Peer, work: Work, home: Path, say: Say) -> ServerUnderTest:
    contender = ServerUnderTest(
        peer.name,
        peer.title,
        peer.exchange,
        peer.settings(work.hardware, work.largest_batch),
        lambda setting, folder: _serve(peer, work, home, setting, folder),
    )
    try:
        gpu = work.hardware.gpu
        contender.versions = installed_version(peer, prepare(peer, home, gpu, say), gpu)
    except ClientError as error:
        contender.problem = f"it cannot be installed: {error}"
    return contender


@contextlib.contextmanager
def _serve(peer: Peer, work: Work, home: Path, setting: Any, folder: Path) -> Iterator[Endpoint]:
    port = free_port()
    programs = folder_of(peer, home.resolve(), work.hardware.gpu) / "bin"
    command = peer.command(programs, peer.folder, port)
    environment = environment_of(peer, work.task, work.models, setting, port, work.hardware.device)
    environment["BENTOML_HOME"] = str(folder)  # it would make one in the home folder
    request = peer.exchange.request(work.images[0], HOST, port)
    with running(command, environment, port, request, folder / "server.log") as endpoint:
        yield endpoint


def _triton(installation: Installation, work: Work, repository: Path) -> ServerUnderTest:
    return ServerUnderTest(
        TRITON,
        TRITON_TITLE,
        triton.exchange_for(work),
        list(triton.settings(repository, work)),
        lambda setting, folder: triton.running_triton(installation, repository, work, setting, folder),
        installation.description,
    )
