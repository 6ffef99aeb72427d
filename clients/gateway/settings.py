"""How a gateway is to run, as one typed object."""

from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1 << 20
MODELS = ("sign_recognizer", "sign_detector", "sign_classifier")


@dataclass(frozen=True)
class Settings:
    """What `signs gateway` is told; its `--help` explains each.

    Attributes:
        url: host:port of Triton's gRPC.
        recognizer: model that is asked about photographs, or name/version.
        classifier: model that is asked about pictures of one sign, or name/version.
        need: models that Triton must have ready before the gateway is.
        timeout: seconds for an answer from the moment the upload is there: the wait for a turn and Triton's work.
        upload_timeout: seconds for an upload to arrive.
        retries: how often Triton is asked again where it does not answer.
        concurrency: requests that Triton is asked at once.
        queue: requests that may wait beside those.
        max_upload: bytes of one request's body.
        max_held: bytes of all bodies that are in memory at one time.
        max_images: pictures of one request.
        keys: file of the hashes of API keys; None lets everybody in.
        cors: origins whose pages may ask; none of them by default.
        feedback: folder that takes what users correct; None takes nothing.
        feedback_reserve: bytes that must stay free on its disk.
        tls: whether Triton speaks TLS, or the certificate of the authority to trust (PEM).
        client_certificate: the gateway's own certificate and key for Triton (PEM).
        traces: address of the collector that takes its spans; empty makes none.
        drain_delay: seconds after SIGTERM in which new requests are still answered and readiness is false.
        drain_timeout: seconds after those for the requests in flight to finish.
    """

    url: str = "localhost:8001"
    recognizer: str = "sign_recognizer"
    classifier: str = "sign_classifier"
    need: tuple[str, ...] = MODELS
    timeout: float = 10.0
    upload_timeout: float = 30.0
    retries: int = 1
    concurrency: int = 16
    queue: int = 48
    max_upload: int = 16 * MEBIBYTE
    max_held: int = 128 * MEBIBYTE
    max_images: int = 16
    keys: Path | None = None
    cors: tuple[str, ...] = ()
    feedback: Path | None = None
    feedback_reserve: int = 1024 * MEBIBYTE
    tls: bool | Path = False
    client_certificate: tuple[Path, Path] | None = None
    traces: str = ""
    drain_delay: float = 3.0
    drain_timeout: float = 25.0
