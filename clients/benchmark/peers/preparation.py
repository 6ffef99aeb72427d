"""The servers of one task: the settings to try, how each is started, and what was measured."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clients.benchmark.peers import triton
from clients.benchmark.peers.environments import Say, folder_of, installed_version, prepare
from clients.benchmark.peers.exchange import Exchange
from clients.benchmark.peers.figures import Point
from clients.benchmark.peers.models import Work
from clients.benchmark.peers.running import HOST, Endpoint, running
from clients.benchmark.peers.servers import FOLDER, PACKAGES, PEERS, TRITON, Peer, Variables, environment_of
from serving.install import Installation
from traffic_sign_client.errors import ClientError
from traffic_signs.ports import free_ports


@dataclass
class ServerUnderTest:
    """A server in one task, and its results so far."""

    name: str  # of the peer, or `triton`
    title: str  # its name in reports
    exchange: Exchange  # how it is called
    settings: list[Any]  # the ones to try
    serve: Callable[[Any, Path], AbstractContextManager[Endpoint]]  # runs it with a setting in an empty folder
    versions: str = ""  # of its packages
    setting: Any = None  # the chosen one
    tried: list[dict[str, Any]] = field(default_factory=list)  # requests a second with each setting, or the problem
    points: list[Point] = field(default_factory=list)  # of all rounds
    checked: int = 0  # answers that were compared with ONNX Runtime's
    difference: float = 0.0  # the largest among them
    problem: str = ""  # why it is excluded


def described(setting: Any) -> str:
    """Returns a setting for people."""
    return ", ".join(map(" ".join, setting.items())) if isinstance(setting, dict) else str(setting)


def prepare_servers(
    names: Sequence[str], work: Work, repository: Path, installation: Installation | None, home: Path, say: Say
) -> list[ServerUnderTest]:
    """Installs the named peers into `home`, and returns them and Triton; one that cannot be installed has a problem."""
    servers = [_install(peer, work, home, say) for peer in PEERS if peer.name in names]
    if installation is not None:
        servers.append(
            ServerUnderTest(
                TRITON,
                "this project's Triton",
                triton.exchange_for(work),
                list(triton.settings(repository, work)),
                lambda setting, folder: triton.running_triton(installation, repository, work, setting, folder),
                installation.description,
            )
        )
    return servers


def _install(peer: Peer, work: Work, home: Path, say: Say) -> ServerUnderTest:
    gpu = work.hardware.gpu
    programs = folder_of(peer, home.resolve(), gpu) / "bin"
    server = ServerUnderTest(
        peer.name,
        peer.title,
        peer.exchange,
        peer.settings(work.hardware, work.largest_batch),
        lambda setting, folder: serve_peer(peer, programs, work, setting, folder),
    )
    try:
        server.versions = installed_version(peer, prepare(peer, home, gpu, say), gpu)
    except ClientError as error:
        server.problem = f"it cannot be installed: {error}"
    return server


def serve_peer(
    peer: Peer, programs: Path, work: Work, setting: Variables, folder: Path
) -> AbstractContextManager[Endpoint]:
    """Runs a peer in an empty folder, which gets its files and `server.log`, until the block ends.

    Raises:
        ClientError: it does not start; the message holds the end of its log.
    """
    for package in PACKAGES:
        (folder / package).symlink_to(FOLDER.parents[2] / package)
    (port,) = free_ports(1, HOST)
    program, *arguments = peer.command(peer.folder, port)
    environment = environment_of(peer, work.models, setting, port, folder, work.hardware.device)
    request = peer.exchange.request(work.images[0], HOST, port)
    return running([str(programs / program), *arguments], environment, port, request, folder / "server.log")
