"""The gateway's settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from traffic_signs.settings import BaseSettings, Setting, SettingError

MEBIBYTE = 1 << 20
ENVIRONMENT = "SIGNS_GATEWAY"  # prefix of the environment variables


@dataclass(frozen=True)
class Settings(BaseSettings):
    """The gateway's settings. Sizes are in MiB, times in seconds."""

    url: Annotated[str, Setting("host:port of Triton's gRPC.", envvars=(f"{ENVIRONMENT}_TRITON_URL",))] = (
        "localhost:8001"
    )
    recognizer: Annotated[str, Setting("Model for photographs, or name/version.")] = "sign_recognizer"
    classifier: Annotated[str, Setting("Model for pictures of one sign, or name/version.")] = "sign_classifier"
    need: Annotated[
        tuple[str, ...],
        Setting(
            "Model that must be ready in Triton before the gateway is ready; repeatable.",
            show_default="sign_recognizer, sign_detector, sign_classifier",
            repeatable=True,
        ),
    ] = ("sign_recognizer", "sign_detector", "sign_classifier")
    timeout: Annotated[
        float, Setting("Seconds for an answer after the upload; Triton gets the remaining time.", min=0.001)
    ] = 10.0
    upload_timeout: Annotated[float, Setting("Seconds for an upload to arrive.", min=0.001)] = 30.0
    retries: Annotated[int, Setting("Retries if Triton does not answer.", min=0, max=10)] = 1
    concurrency: Annotated[int, Setting("Concurrent calls of Triton.", min=1)] = 16
    queue: Annotated[int, Setting("Further requests that may wait; the rest is answered 429.", min=0)] = 48
    max_upload: Annotated[int, Setting("MiB of one request.", min=1, max=1024)] = 16
    max_held: Annotated[int, Setting("MiB of all uploads in memory; more are answered 429.", min=1)] = 128
    max_images: Annotated[int, Setting("Pictures in one request.", min=1, max=1000)] = 16
    keys: Annotated[
        Path | None,
        Setting("File with hashes of API keys; without it no key is needed.", show_default=False),
    ] = None
    cors_origin: Annotated[
        tuple[str, ...],
        Setting(
            "Allowed origin of other pages, such as https://maps.example; repeatable.",
            show_default="none",
            repeatable=True,
        ),
    ] = ()
    feedback: Annotated[
        Path | None,
        Setting("Folder for users' corrections; without it none are stored.", show_default=False),
    ] = None
    feedback_reserve: Annotated[int, Setting("MiB that feedback leaves free on its disk.", min=0)] = 1024
    tls: Annotated[
        bool,
        Setting("Use TLS to Triton; its certificate is of a well-known authority.", flags=("--tls",)),
    ] = False
    tls_authority: Annotated[
        Path | None, Setting("Certificate of the authority to trust instead (PEM).", show_default=False)
    ] = None
    tls_certificate: Annotated[
        Path | None, Setting("The gateway's own certificate for Triton (PEM).", show_default=False)
    ] = None
    tls_key: Annotated[Path | None, Setting("Its key (PEM).", show_default=False)] = None
    traces: Annotated[
        str,
        Setting(
            "Collector of traces (OTLP over HTTP), such as http://localhost:4318; extra: tracing.",
            show_default=False,
            envvars=(f"{ENVIRONMENT}_TRACES", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ),
    ] = ""
    drain_delay: Annotated[float, Setting("Seconds after SIGTERM in which it still answers new requests.", min=0)] = 3.0
    drain_timeout: Annotated[float, Setting("Seconds after these for the requests in progress.", min=1)] = 25.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingError("give --tls-certificate and --tls-key together")

    @property
    def client_certificate(self) -> tuple[Path, Path] | None:
        """The gateway's own certificate and its key, if given."""
        return (self.tls_certificate, self.tls_key) if self.tls_certificate and self.tls_key else None
