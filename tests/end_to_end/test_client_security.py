"""TLS, client certificates and headers against a real tritonserver that asks for them.

Triton speaks TLS over gRPC alone: over HTTP something stands before it, here a small proxy.
"""

import asyncio
import ssl
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from serving.install import Installation
from serving.server import RunningServer, running_server
from tests.certificates import Certificates, make_certificates
from tests.end_to_end.asking import WAYS, Client, ask
from tests.end_to_end.street import address
from tests.running_gateway import running_gateway
from tests.slow_recognizer import write_slow_recognizer
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError, UnavailableError

pytestmark = pytest.mark.end_to_end

SECRET = "s3cret"
# Triton gives a header of gRPC a prefix of its own.
HEADERS = {"Triton-Grpc-Protocol-Let-Me": SECRET, "Let-Me": SECRET}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def guarded_server(
    installation: Installation, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A tritonserver that answers questions with the right header, over gRPC those of clients it knows."""
    folder = tmp_path_factory.mktemp("guarded")
    write_slow_recognizer(folder / "models", "sign_recognizer", instances=1)
    arguments = (
        "--grpc-use-ssl=1",
        "--grpc-use-ssl-mutual=1",
        f"--grpc-server-cert={certificates.server.certificate}",
        f"--grpc-server-key={certificates.server.key}",
        f"--grpc-root-cert={certificates.authority}",
        f"--grpc-restricted-protocol=inference,shared-memory:let-me={SECRET}",
        f"--http-restricted-api=inference,shared-memory:let-me={SECRET}",
    )
    with running_server(installation, folder / "models", folder / "log", extra_arguments=arguments) as running:
        yield running


@pytest.fixture(scope="module")
def secure_http(guarded_server: RunningServer, certificates: Certificates) -> Iterator[str]:
    """Address of a proxy that takes TLS, and asks for a client's certificate too, before the server's HTTP."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.authority))
    context.load_cert_chain(certificates.server.certificate, certificates.server.key)
    context.verify_mode = ssl.CERT_REQUIRED
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while content := await reader.read(1 << 16):
                writer.write(content)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection(guarded_server.host, guarded_server.ports.http)
        await asyncio.gather(pump(reader, inner[1]), pump(inner[0], writer))

    async def run() -> None:
        server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
        ended = asyncio.Event()
        url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set_result((url, asyncio.get_running_loop(), ended))
        await ended.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    url, loop, ended = started.result()
    yield url
    loop.call_soon_threadsafe(ended.set)
    thread.join()


@pytest.fixture
def secure_url(secure_http: str, guarded_server: RunningServer, protocol: Protocol) -> str:
    return secure_http if protocol == "http" else address(guarded_server, "grpc")


def known(
    certificates: Certificates, headers: dict[str, str] | None = None, shared_memory: bool = False
) -> dict[str, Any]:
    """Returns the options of a client that the server knows."""
    return {
        "tls": certificates.authority,
        "client_certificate": (certificates.client.certificate, certificates.client.key),
        "headers": headers,
        "shared_memory": shared_memory,
        "retries": 0,
    }


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
def test_who_is_known_and_has_the_header_is_answered(
    secure_url: str, certificates: Certificates, kind: type[Client], protocol: Protocol
) -> None:
    for shared_memory in (False, True):
        options = known(certificates, HEADERS, shared_memory)
        (sign,) = ask(kind, protocol, secure_url, lambda client: client.recognize(b"0 hello"), **options)
        assert sign.name == "hello"


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
@pytest.mark.parametrize("wrong", [None, dict.fromkeys(HEADERS, "wr0ng")])
def test_without_the_header_the_client_names_it_and_shows_no_secret(
    secure_url: str, certificates: Certificates, kind: type[Client], protocol: Protocol, wrong: dict[str, str] | None
) -> None:
    for shared_memory in (False, True):
        options = known(certificates, wrong, shared_memory)
        with pytest.raises(ClientError, match=r"expecting header.*give the headers it wants") as raised:
            ask(kind, protocol, secure_url, lambda client: client.recognize(b"0 hello"), **options)
        assert not isinstance(raised.value, UnavailableError), "to ask again is of no use"
        assert "wr0ng" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
@pytest.mark.parametrize("stranger", [True, False])
def test_a_server_whose_authority_is_unknown_is_not_trusted(
    secure_url: str, certificates: Certificates, kind: type[Client], protocol: Protocol, stranger: bool
) -> None:
    options = known(certificates)
    options["tls"] = certificates.stranger if stranger else True
    with pytest.raises(ClientError, match=r"no TLS with .*give the certificate of its authority") as raised:
        ask(kind, protocol, secure_url, lambda client: client.metadata(), **options)
    assert not isinstance(raised.value, UnavailableError), "to ask again is of no use"


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
def test_a_client_without_tls_or_certificate_is_no_crash(
    secure_url: str, certificates: Certificates, kind: type[Client], protocol: Protocol
) -> None:
    with_tls: dict[str, Any] = {"tls": certificates.authority, "retries": 0}
    without: dict[str, Any] = {"retries": 0}
    for options in (with_tls, without):
        with pytest.raises(ClientError):
            ask(kind, protocol, secure_url, lambda client: client.metadata(), **options)


def test_the_gateway_asks_over_tls_and_reports_a_refusal_without_the_reason(
    guarded_server: RunningServer, certificates: Certificates
) -> None:
    url, need = address(guarded_server, "grpc"), ("--need", "sign_recognizer", "--retries", "0")
    own = certificates.client
    shown = ("--tls-certificate", str(own.certificate), "--tls-key", str(own.key))
    with running_gateway(url, *need, "--tls-authority", str(certificates.authority), *shown) as gateway:
        assert gateway.ask("/readyz").status == 200
        refused = gateway.ask("/v1/recognize", b"x", {"Content-Type": "application/octet-stream"})
        assert refused.status == 502 and refused.json["type"] == "/docs#upstream" and b"header" not in refused.body
    with running_gateway(url, *need) as gateway:
        assert gateway.ask("/readyz").status == 503
