"""`signs gateway`: the command line of the REST gateway."""

from pathlib import Path
from typing import Annotated, Any

import typer

ENVIRONMENT = "SIGNS_GATEWAY_"
LEVELS = ("debug", "info", "warning", "error")


def _option(name: str, help: str, **rest: Any) -> Any:
    """Returns an option that also an environment variable sets: SIGNS_GATEWAY_ and its name."""
    return typer.Option(f"--{name}", help=help, envvar=ENVIRONMENT + name.replace("-", "_").upper(), **rest)


def gateway(
    url: Annotated[
        str, typer.Option(help="host:port of Triton's gRPC.", envvar=f"{ENVIRONMENT}TRITON_URL")
    ] = "localhost:8001",
    host: Annotated[str, _option("host", "Address to listen on; 0.0.0.0 is all of them.")] = "127.0.0.1",
    port: Annotated[int, _option("port", "Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8080,
    recognizer: Annotated[str, _option("recognizer", "Model for photographs, or name/version.")] = "sign_recognizer",
    classifier: Annotated[
        str, _option("classifier", "Model for pictures of one sign, or name/version.")
    ] = "sign_classifier",
    need: Annotated[
        list[str] | None,
        _option(
            "need",
            "Model that must be ready in Triton before the gateway is; more than once.",
            show_default="sign_recognizer, sign_detector, sign_classifier",
        ),
    ] = None,
    timeout: Annotated[
        float, _option("timeout", "Seconds for an answer once the upload is there; Triton is told.", min=0.001)
    ] = 10.0,
    upload_timeout: Annotated[float, _option("upload-timeout", "Seconds for an upload to arrive.", min=0.001)] = 30.0,
    retries: Annotated[
        int, _option("retries", "How often Triton is asked again where it does not answer.", min=0, max=10)
    ] = 1,
    concurrency: Annotated[int, _option("concurrency", "Questions to Triton at once.", min=1)] = 16,
    queue: Annotated[int, _option("queue", "Requests that may wait besides; more are answered 429.", min=0)] = 48,
    max_upload: Annotated[int, _option("max-upload", "MiB of one request.", min=1, max=1024)] = 16,
    max_held: Annotated[
        int, _option("max-held", "MiB of uploads in memory at one time; more are answered 429.", min=1)
    ] = 128,
    max_images: Annotated[int, _option("max-images", "Pictures in one request.", min=1, max=1000)] = 16,
    keys: Annotated[
        Path | None,
        _option("keys", "File of the hashes of API keys; without it everybody may ask.", show_default=False),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        _option(
            "cors-origin",
            "Origin whose pages may ask, such as https://maps.example; more than once.",
            show_default="none",
        ),
    ] = None,
    feedback: Annotated[
        Path | None,
        _option("feedback", "Folder that takes what users correct; without it nothing is taken.", show_default=False),
    ] = None,
    feedback_reserve: Annotated[
        int, _option("feedback-reserve", "MiB that feedback leaves free on its disk.", min=0)
    ] = 1024,
    tls: Annotated[
        bool, _option("tls", "Triton speaks TLS, with a certificate that the usual authorities vouch for.")
    ] = False,
    tls_authority: Annotated[
        Path | None,
        _option("tls-authority", "Certificate of the authority to trust instead (PEM).", show_default=False),
    ] = None,
    tls_certificate: Annotated[
        Path | None, _option("tls-certificate", "The gateway's own certificate for Triton (PEM).", show_default=False)
    ] = None,
    tls_key: Annotated[Path | None, _option("tls-key", "Its key (PEM).", show_default=False)] = None,
    traces: Annotated[
        str,
        typer.Option(
            help="Collector of traces (OTLP over HTTP), such as http://localhost:4318; extra: tracing.",
            envvar=[f"{ENVIRONMENT}TRACES", "OTEL_EXPORTER_OTLP_ENDPOINT"],
            show_default=False,
        ),
    ] = "",
    drain_delay: Annotated[
        float, _option("drain-delay", "Seconds after SIGTERM in which new requests are still answered.", min=0)
    ] = 3.0,
    drain_timeout: Annotated[
        float, _option("drain-timeout", "Seconds after those for requests in flight to finish.", min=1)
    ] = 25.0,
    log_level: Annotated[str, _option("log-level", f"How much to log: {', '.join(LEVELS)}.")] = "info",
    new_key: Annotated[
        str, typer.Option(help="Make an API key of this name, print it, and end.", metavar="NAME", show_default=False)
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
    if log_level not in LEVELS:
        raise typer.BadParameter(f"{log_level!r}: choose one of {', '.join(LEVELS)}", param_hint="--log-level")
    if (tls_certificate is None) != (tls_key is None):
        raise typer.BadParameter("give --tls-certificate and --tls-key together")
    from clients.gateway import logs
    from clients.gateway.server import serve
    from clients.gateway.settings import MEBIBYTE, MODELS, Settings

    settings = Settings(
        url=url,
        recognizer=recognizer,
        classifier=classifier,
        need=tuple(need or MODELS),
        timeout=timeout,
        upload_timeout=upload_timeout,
        retries=retries,
        concurrency=concurrency,
        queue=queue,
        max_upload=max_upload * MEBIBYTE,
        max_held=max_held * MEBIBYTE,
        max_images=max_images,
        keys=keys,
        cors=tuple(cors_origin or ()),
        feedback=feedback,
        feedback_reserve=feedback_reserve * MEBIBYTE,
        tls=tls_authority or tls,
        client_certificate=(tls_certificate, tls_key) if tls_certificate and tls_key else None,
        traces=traces,
        drain_delay=drain_delay,
        drain_timeout=drain_timeout,
    )
    logs.start(log_level)
    serve(settings, host, port)
