"""`signs serve`: the command line of serving."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from serving.own_server import BACKENDS, PROGRAM
from traffic_signs.options import with_options
from traffic_signs.settings import Home


@with_options
def serve(
    repository: Annotated[Path, typer.Option(help="Triton model repository.")] = Path("model_repository"),
    http_port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    grpc_port: Annotated[int, typer.Option(min=1, max=65535)] = 8001,
    metrics_port: Annotated[int, typer.Option(min=1, max=65535)] = 8002,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all of them.")] = "127.0.0.1",
    home: Home = Path(".tritonserver"),
    tritonserver: Annotated[
        Path | None,
        typer.Option(
            envvar=PROGRAM,
            help="A tritonserver of your own, as /opt/tritonserver/bin/tritonserver.",
            show_default=False,
        ),
    ] = None,
    backends: Annotated[
        Path | None,
        typer.Option(envvar=BACKENDS, help="Folder of its backends, where not beside it.", show_default=False),
    ] = None,
    allow_client_shm: Annotated[
        bool, typer.Option("--allow-client-shm", help="Let clients hand inputs over in this machine's shared memory.")
    ] = False,
    unsafe_old_server: Annotated[
        bool,
        typer.Option("--unsafe-old-server", help="Serve a network with a server that has known holes: SECURITY.md."),
    ] = False,
    public_key: Annotated[
        Path | None,
        typer.Option(help="PEM file: serve only what its private half has signed.", show_default=False),
    ] = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Start without looking at the checksums.")] = False,
    cache: Annotated[
        int, typer.Option(min=0, metavar="MB", help="Memory for answers, for models with a response cache; 0: none.")
    ] = 0,
    reloadable: Annotated[
        bool,
        typer.Option("--reloadable", help="Let `signs repository roll-out` load other versions while it serves."),
    ] = False,
    traces: Annotated[
        str,
        typer.Option(
            help="Collector (OTLP over HTTP), such as http://localhost:4318, for the traces that requests belong to.",
            show_default=False,
        ),
    ] = "",
    configuration: Annotated[
        str,
        typer.Option(
            help="configs/NAME.pbtxt of each model that has it, as gpu or cpu-8.",
            show_default="what fits this machine",
        ),
    ] = "",
    grpc_threads: Annotated[
        int, typer.Option(min=0, help="Threads that take gRPC requests; 0: as many as the server takes by itself.")
    ] = 0,
    log: Annotated[
        Path | None,
        typer.Option(help="File that takes the server's own log; runs/tritonserver-PORT.log without it."),
    ] = None,
) -> None:
    """Serve the model repository with tritonserver until Ctrl-C.

    A tritonserver on the PATH, or the one that is given, is used where there is one; otherwise one is installed from
    PyPI, once. That one is of 2024 and for this machine alone: on another address than loopback only a server without
    known security holes is started. Every version that is to be served must fit its manifest.

    Models are served by their configuration for the machine: on a GPU with the file that is made for one, on CPUs with
    as many instances as there are cores.

    A server answers with what was the champion at its start. With --reloadable it loads another version on request,
    which answers once it is whole, and no request is lost; whoever reaches the HTTP port can then load and unload, so
    this is for one machine.

    \b
    signs serve
    signs serve --reloadable
    signs serve --repository served --public-key release.pub
    signs serve --tritonserver /opt/tritonserver/bin/tritonserver --host 0.0.0.0
    """
    from rich.text import Text

    from export.hardware_fit import check_tensorrt, choose_configuration
    from export.repository.store import require_folder
    from serving.errors import ServingError
    from serving.install import find_or_install
    from serving.server import (
        RELOADABLE,
        Ports,
        grpc_thread_arguments,
        running_server,
        served_versions,
        tracing,
    )
    from serving.versions import check_network, shared_memory_arguments
    from traffic_signs.console import Console

    console = Console()
    if public_key is not None and no_verify:
        raise ServingError("--public-key asks for a check and --no-verify for none: give one of them")
    require_folder(repository, "bring its versions into one with `signs repository pull`, and serve that")
    log = log or Path(f"runs/tritonserver-{http_port}.log")
    installation = find_or_install(home, lambda what: console.print(f"{what} ...", style="dim"), tritonserver, backends)
    if not unsafe_old_server:
        check_network(installation.version, host)
    fit = choose_configuration(repository, installation, configuration)
    if not no_verify:
        from export.repository.verification import check_served

        for notice in check_served(repository, public_key, fit.name, fit.gpu):
            console.print(f"note: {notice}", highlight=False, soft_wrap=True)
    ports = Ports(http_port, grpc_port, metrics_port)
    extra: tuple[str, ...] = RELOADABLE if reloadable else ()
    extra += (f"--cache-config=local,size={cache * 1_000_000}",) if cache else ()
    extra += tracing(traces) if traces else ()
    extra += shared_memory_arguments(installation.version) if allow_client_shm else ()
    extra += (f"--model-config-name={fit.name}", *grpc_thread_arguments(installation, grpc_threads))
    check_tensorrt(repository, fit, installation.version)
    with running_server(installation, repository, log, ports, host, extra) as server:
        console.print(Text.assemble((installation.description, "bold"), f" serves {repository}"), soft_wrap=True)
        console.print(f"  configuration {fit.name}: {fit.reason}", highlight=False, soft_wrap=True)
        loaded = served_versions(server)
        for model, version in loaded:
            console.print(f"  {model}, version {version}", highlight=False)
        # Where there is no recognizer, the classifier alone can answer; a detector alone can be evaluated.
        served = {model for model, _ in loaded}
        command = f"signs predict {'PHOTO' if 'sign_recognizer' in served else '--crops IMAGE'}"
        if not served & {"sign_recognizer", "sign_classifier"}:
            command = "signs evaluate --data DATA"
        console.print(
            f"  gRPC     {server.grpc_url}\n  HTTP     http://{server.http_url}\n"
            f"  metrics  {server.metrics_url}\n  log      {log}\n"
            f"try: {command} --url {server.grpc_url}      stop: Ctrl-C",
            highlight=False,
            soft_wrap=True,
        )
        try:
            server.process.wait()
        except KeyboardInterrupt:
            console.print("stopping; requests in flight are answered first")
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not break the clean stop
            return
        server.check_alive()
