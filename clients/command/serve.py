"""`signs serve`: the command line of serving."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from clients.command.output import print_lines
from serving.settings import ServerSettings
from traffic_signs.options import with_options

if TYPE_CHECKING:
    from serving.install import Installation
    from serving.server import RunningServer


@with_options
def serve(settings: ServerSettings) -> None:
    """Serve the model repository with tritonserver until Ctrl-C.

    Without a tritonserver that is given, on the PATH or in /opt/tritonserver, it installs one from PyPI; that one
    listens on loopback only. Every version is checked against its manifest. --configuration is chosen for this machine.
    --reloadable lets anyone who reaches the HTTP port load models.

    Examples:
        signs serve
        signs serve --reloadable
        signs serve --repository served --public-key release.pub
        signs serve --tritonserver /opt/triton/bin/tritonserver --host 0.0.0.0
    """
    from export.hardware_fit import check_tensorrt, choose_configuration
    from export.repository.store import require_folder
    from export.repository.verification import check_hardware, check_served
    from serving.errors import ServingError
    from serving.install import find_or_install
    from serving.server import Ports, check_repository, running_server
    from serving.versions import check_network

    repository, host = settings.repository, settings.host
    if settings.public_key is not None and settings.no_verify:
        raise ServingError("--public-key asks for a check and --no-verify for none: give one of them")
    require_folder(repository, "bring its versions into one with `signs repository pull`, and serve that")
    check_repository(repository)  # before a server is installed for it
    log = settings.log or Path(f"runs/tritonserver-{settings.http_port}.log")
    installation = find_or_install(
        settings.home, lambda what: print_lines(f"{what} ...", style="dim"), settings.tritonserver, settings.backends
    )
    if not settings.unsafe_old_server:
        check_network(installation.version, host)
    fit = choose_configuration(repository, installation, settings.configuration)
    check_hardware(repository, fit.name, fit.gpu)
    check_tensorrt(repository, fit, installation.version)
    if not settings.no_verify:
        print_lines(*(f"note: {each}" for each in check_served(repository, settings.public_key, fit.name)))
    ports = Ports(settings.http_port, settings.grpc_port, settings.metrics_port)
    extra = (*_arguments(settings, installation), f"--model-config-name={fit.name}")
    with running_server(installation, repository, log, ports, host, extra) as server:
        print_lines(f"{installation.description} serves {repository}", style="bold")
        print_lines(f"  configuration {fit.name}: {fit.reason}")
        _print_addresses(server)
        try:
            server.process.wait()
        except KeyboardInterrupt:
            print_lines("stopping; requests in flight are answered first")
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not break the clean stop
            return
        server.check_alive()


def _arguments(settings: ServerSettings, installation: "Installation") -> tuple[str, ...]:
    """Returns the arguments of tritonserver for the optional features."""
    from serving.server import RELOADABLE, grpc_thread_arguments, tracing
    from serving.versions import shared_memory_arguments

    return (
        *(RELOADABLE if settings.reloadable else ()),
        *((f"--cache-config=local,size={settings.cache * 1_000_000}",) if settings.cache else ()),
        *(tracing(settings.traces) if settings.traces else ()),
        *(shared_memory_arguments(installation.version) if settings.allow_client_shm else ()),
        *grpc_thread_arguments(installation, settings.grpc_threads),
    )


def _print_addresses(server: "RunningServer") -> None:
    """Prints what the server has loaded, where it listens, and a first command to try."""
    from serving.server import served_versions

    loaded = served_versions(server)
    served = {model for model, _ in loaded}
    # Where there is no recognizer, the classifier alone can answer; a detector alone can be evaluated.
    command = f"signs predict {'PHOTO' if 'sign_recognizer' in served else '--crops IMAGE'}"
    if not served & {"sign_recognizer", "sign_classifier"}:
        command = "signs evaluate --data DATA"
    print_lines(
        *(f"  {model}, version {version}" for model, version in loaded),
        f"  gRPC     {server.grpc_url}",
        f"  HTTP     http://{server.http_url}",
        f"  metrics  {server.metrics_url}",
        f"  log      {server.log}",
        f"try: {command} --url {server.grpc_url}      stop: Ctrl-C",
    )
