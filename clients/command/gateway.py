"""`signs gateway`: the command line of the REST gateway."""

from typing import Annotated, Literal

import typer

from clients.gateway.settings import Settings
from traffic_signs.options import with_options


@with_options
def gateway(
    settings: Settings,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all of them.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8080,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(help="How much to log: debug, info, warning, error."),
    ] = "info",
    new_key: Annotated[
        str,
        typer.Option(
            help="Make an API key of this name, print it, and end.",
            metavar="NAME",
            show_default=False,
            allow_from_autoenv=False,
        ),
    ] = "",
) -> None:
    """Answer over HTTP and JSON, by asking Triton over gRPC, and serve a page for people, until Ctrl-C.

    Every option may come from an environment variable: SIGNS_GATEWAY_ and its name, as SIGNS_GATEWAY_MAX_UPLOAD; that
    of --url is SIGNS_GATEWAY_TRITON_URL. The log is JSON, a line a request, on standard error. SIGTERM has it finish
    what it has begun.

    \b
    signs gateway
    signs gateway --url triton:8001 --host 0.0.0.0 --feedback feedback
    signs gateway --new-key tablet >> keys.txt        # the key is shown once, on standard error
    signs gateway --keys keys.txt --cors-origin https://maps.example
    curl --data-binary @street.jpg -H 'Content-Type: image/jpeg' localhost:8080/v1/recognize
    """
    if new_key:
        from clients.gateway.auth import line_of
        from clients.gateway.auth import new_key as make_key

        key = make_key()
        typer.echo(line_of(new_key, key))
        typer.echo(f"the key of {new_key}, which nothing shows again: {key}", err=True)
        return
    from clients.gateway import logs
    from clients.gateway.server import serve

    logs.start(log_level)
    serve(settings, host, port)
