"""The settings of a benchmark."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from traffic_signs.settings import (
    DEFAULT_REPOSITORY,
    BaseSettings,
    Home,
    Protocol,
    RepositoryFolder,
    Rounds,
    Setting,
    SettingError,
)

MOST_BATCH, MOST_CLIENTS = 4096, 4096
ADDRESS = re.compile(r"(?:(grpc|http)://)?([^\s/:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5})/?")


def reported(settings: BaseSettings) -> dict[str, Any]:
    """Returns all settings by name, as JSON."""
    values: dict[str, Any] = json.loads(json.dumps(vars(settings), default=str))  # paths as text, tuples as lists
    return values


@dataclass(frozen=True)
class BenchmarkConfig(BaseSettings):
    """The settings of `signs bench`.

    Raises:
        SettingError: an address cannot be used, or two settings contradict each other.
    """

    url: Annotated[
        tuple[str, ...],
        Setting(
            "A running server: HOST:PORT for gRPC, http://HOST:PORT for HTTP; repeatable, to measure both.",
            metavar="ADDRESS",
            show_default="a server of its own",
            repeatable=True,
        ),
    ] = ()
    repository: RepositoryFolder = Path(DEFAULT_REPOSITORY)
    models: Annotated[
        tuple[str, ...],
        Setting(
            "Names of models, separated by commas.", show_default="sign_classifier and sign_recognizer, where they are"
        ),
    ] = ()
    protocols: Annotated[
        tuple[Protocol, ...], Setting("grpc, http or grpc,http.", show_default="both, or those of --url")
    ] = ()
    batch_sizes: Annotated[tuple[int, ...], Setting("Numbers of pictures in a request.", min=1, max=MOST_BATCH)] = (
        1,
        8,
    )
    concurrencies: Annotated[
        tuple[int, ...], Setting("Numbers of requests in flight at the same time.", min=1, max=MOST_CLIENTS)
    ] = (1, 4, 16)
    seconds: Annotated[float, Setting("Seconds of each measurement in a round.", min=0.3, max=600)] = 3
    rounds: Rounds = 3
    images: Annotated[
        Path | None, Setting("Folder, zip or file of pictures to send.", show_default="drawn street scenes")
    ] = None
    in_process: Annotated[
        bool, Setting("Also measure ONNX Runtime without a server, on all cores: the upper limit for the classifier.")
    ] = False
    onnx: Annotated[
        Path | None, Setting("ONNX file for --in-process.", show_default="the served one in --repository")
    ] = None
    perf_analyzer: Annotated[Path | None, Setting("Path of perf_analyzer.", show_default="the one on the PATH")] = None
    home: Home = Path(".tritonserver")

    def __post_init__(self) -> None:
        super().__post_init__()
        for protocol in self.asked_protocols:
            if self.url and protocol not in self.urls:
                raise SettingError(f"there is no address for {protocol}: give --url {protocol}://HOST:PORT too")
        if self.onnx is not None and not self.in_process:
            raise SettingError("--onnx is the file that --in-process runs: give --in-process too")

    @property
    def urls(self) -> dict[Protocol, str]:
        """The host:port of a running server for each protocol; empty for a server of its own."""
        urls: dict[Protocol, str] = {}
        for each in self.url:
            found = ADDRESS.fullmatch(each)
            if not found:
                raise SettingError(f"{each!r}: give host:port, grpc://host:port or http://host:port")
            protocol: Protocol = "http" if found[1] == "http" else "grpc"
            if protocol in urls:
                raise SettingError(f"{each!r}: there is one {protocol} address already; mark the other one http://")
            urls[protocol] = found[2]
        return urls

    @property
    def asked_protocols(self) -> tuple[Protocol, ...]:
        """The protocols to measure."""
        return self.protocols or tuple(self.urls) or ("grpc", "http")

    def command(self) -> str:
        """Returns the command that repeats the measurement."""
        options: dict[str, Any] = {} if self.url else {"repository": self.repository, "protocols": self.asked_protocols}
        names = ("models", "batch_sizes", "concurrencies", "seconds", "rounds", "images", "in_process", "onnx")
        options |= {name: getattr(self, name) for name in (*names, "perf_analyzer")}
        words = ["signs", "bench"]
        for protocol, url in self.urls.items():
            words += ["--url", f"{protocol}://{url}"]
        for name, value in options.items():
            if value:
                words.append(f"--{name.replace('_', '-')}")
                words += [_word(value)] if value is not True else []
        return shlex.join(words)


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
