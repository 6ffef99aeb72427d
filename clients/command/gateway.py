"""`signs gateway`: the command line of the REST gateway."""

from typing import Annotated, Literal

import typer

from clients.gateway.settings import Settings
from traffic_signs.options import with_options
from traffic_signs.settings import Host, Port, Setting


@with_options
def gateway(
    settings: Settings,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Setting("Least level to log: debug, info, warning, error.", metavar="LEVEL"),
    ] = "info",
    new_key: Annotated[
        str | None,
        typer.Option(
            help="Make an API key of this name, print it, and end.",
            metavar="NAME",
            show_default=False,
            allow_from_autoenv=False,  # or a variable would keep the gateway from starting
        ),
    ] = None,
) -> None:
    """Serve a REST API and a web page until Ctrl-C; it calls Triton over gRPC.

    Every option can be set by an environment variable: SIGNS_GATEWAY_ and its name, such as SIGNS_GATEWAY_MAX_UPLOAD;
    that of --url is SIGNS_GATEWAY_TRITON_URL. The log is one line of JSON for each request, on standard error. On
    SIGTERM the gateway finishes the requests in flight. --traces needs the extra tracing.

    Examples:
        signs gateway
        signs gateway --url triton:8001 --host 0.0.0.0 --feedback feedback
        signs gateway --new-key tablet >> keys.txt  # standard error shows the key
        signs gateway --keys keys.txt --cors-origin https://maps.example
        curl --form image=@street.jpg localhost:8080/v1/recognize
    """
    if new_key is not None:
        from clients.gateway.auth import line_of
        from clients.gateway.auth import new_key as make_key

        key = make_key()
        typer.echo(line_of(new_key, key))
        typer.echo(f"the key of {new_key}, which is shown only once: {key}", err=True)
        return
    from clients.gateway import logs
    from clients.gateway.server import serve

    logs.start(log_level)
    serve(settings, host, port)
