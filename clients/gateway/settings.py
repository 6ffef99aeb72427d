"""The gateway's settings."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from traffic_signs.settings import GRPC_URL, TRACES, BaseSettings, Setting, SettingError

MEBIBYTE = 1 << 20
SERVED = "NAME[/VERSION]"
# As browsers send it, which compare nothing else: in lower case, without a path or a slash at the end.
ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
ENVIRONMENT = "SIGNS_GATEWAY"  # prefix of the environment variables


@dataclass(frozen=True)
class Settings(BaseSettings):
    """The gateway's settings. Sizes are in MiB, times in seconds."""

    url: Annotated[str, replace(GRPC_URL, envvars=(f"{ENVIRONMENT}_TRITON_URL",))] = "localhost:8001"
    recognizer: Annotated[str, Setting("Model for photographs.", metavar=SERVED)] = "sign_recognizer"
    classifier: Annotated[str, Setting("Model for pictures of one sign.", metavar=SERVED)] = "sign_classifier"
    need: Annotated[
        tuple[str, ...],
        Setting(
            "Model that must be ready in Triton before the gateway is; repeatable.",
            metavar="NAME",
            show_default="sign_recognizer, sign_detector, sign_classifier",
            repeatable=True,
        ),
    ] = ("sign_recognizer", "sign_detector", "sign_classifier")
    timeout: Annotated[
        float, Setting("Seconds for an answer after the upload, including the time in the queue.", min=0.001)
    ] = 10.0
    upload_timeout: Annotated[float, Setting("Seconds for an upload to arrive.", min=0.001)] = 30.0
    retries: Annotated[int, Setting("Number of retries if Triton does not answer.", min=0, max=10)] = 1
    concurrency: Annotated[
        int, Setting("Calls of Triton at the same time; more requests wait in the queue.", min=1)
    ] = 16
    queue: Annotated[int, Setting("Largest number of waiting requests; more are answered 429.", min=0)] = 48
    max_upload: Annotated[int, Setting("Largest size of a request in MiB.", min=1, max=1024)] = 16
    max_upload_memory: Annotated[
        int, Setting("Largest size of all uploads in memory in MiB; more are answered 429.", min=1)
    ] = 128
    max_images: Annotated[int, Setting("Largest number of pictures in a request.", min=1, max=1000)] = 16
    keys: Annotated[Path | None, Setting("File of the hashes of API keys; without it no key is needed.")] = None
    cors_origin: Annotated[
        tuple[str, ...],
        Setting(
            "Origin whose pages may call the API, such as https://maps.example; repeatable.",
            metavar="URL",
            show_default="none",
            repeatable=True,
        ),
    ] = ()
    feedback: Annotated[
        Path | None, Setting("Folder for the corrections of users; without it the gateway accepts none.")
    ] = None
    feedback_reserve: Annotated[int, Setting("MiB that stay free on the disk of --feedback.", min=0)] = 1024
    tls: Annotated[bool, Setting("Use TLS for Triton, whose certificate a public authority must have signed.")] = False
    tls_authority: Annotated[
        Path | None, Setting("Certificate of the authority to trust in place of the public ones (PEM).")
    ] = None
    tls_certificate: Annotated[Path | None, Setting("The gateway's own certificate for Triton (PEM).")] = None
    tls_key: Annotated[Path | None, Setting("Key of --tls-certificate (PEM).")] = None
    traces: Annotated[str, replace(TRACES, envvars=(f"{ENVIRONMENT}_TRACES", "OTEL_EXPORTER_OTLP_ENDPOINT"))] = ""
    drain_delay: Annotated[float, Setting("Seconds after SIGTERM in which new requests are still answered.", min=0)] = (
        3.0
    )
    drain_timeout: Annotated[float, Setting("Seconds after --drain-delay for requests in flight to finish.", min=1)] = (
        25.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingError("give --tls-certificate and --tls-key together")
        for origin in self.cors_origin:
            if not ORIGIN.fullmatch(origin):
                raise SettingError(
                    f"cors_origin {origin!r} is not an origin: give scheme and host as browsers send them, such as "
                    "https://maps.example or http://localhost:3000, or * for all"
                )

    @property
    def client_certificate(self) -> tuple[Path, Path] | None:
        """The gateway's own certificate and its key, if given."""
        return (self.tls_certificate, self.tls_key) if self.tls_certificate and self.tls_key else None
