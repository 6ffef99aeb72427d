"""Runs the gateway under uvicorn; on SIGTERM it finishes the requests in progress."""

import json
import logging
import secrets
import signal
import socket
import time
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from clients.gateway import problems
from clients.gateway.app import make_app
from clients.gateway.problems import UNREADABLE, ProblemError
from clients.gateway.settings import Settings
from traffic_sign_client.errors import ClientError

logger = logging.getLogger(__name__)


def serve(settings: Settings, host: str, port: int) -> None:
    """Runs a gateway until a signal ends it; port 0 takes a free one, which the log names.

    Raises:
        ClientError: it cannot listen on the address, or the settings cannot be used.
    """
    server = Server(settings)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ClientError(f"cannot listen on {host}:{port} ({error.strerror}): choose --host and --port") from error
    with listening:
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        logger.info("listening on http://%s:%d", shown, listening.getsockname()[1])
        server.run(sockets=[listening])


class Server(uvicorn.Server):
    """A server that drains.

    On SIGTERM it reports that it is not ready and still answers for `drain_delay` seconds, so that load balancers
    notice; then it accepts no more connections and waits up to `drain_timeout` seconds for the requests in progress.
    Ctrl-C skips the delay; a second signal skips the wait.
    """

    def __init__(self, settings: Settings) -> None:
        self._delay, self._until = settings.drain_delay, 0.0
        config = uvicorn.Config(
            make_app(settings, lambda: self._until > 0),
            http=ProblemProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, round(settings.drain_timeout)),
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Starts to drain on a signal; the process then ends with code 0."""
        if self._until:
            self.force_exit = self.should_exit
            self._until = time.monotonic()
            return
        self._until = time.monotonic() + (self._delay if sig == signal.SIGTERM else 0)

    async def on_tick(self, counter: int) -> bool:
        """Returns, ten times a second, whether the server should exit."""
        if self._until and time.monotonic() >= self._until:
            self.should_exit = True
        return await super().on_tick(counter)


class ProblemProtocol(H11Protocol):
    """uvicorn's protocol on h11, with JSON instead of its line of text."""

    def send_400_response(self, msg: str) -> None:
        """Answers a request that cannot be parsed and ends the connection."""
        request_id = secrets.token_hex(16)
        problem = ProblemError(UNREADABLE, f"{msg} Send HTTP/1.1 with short and well-formed headers")
        data = json.dumps(problems.body(problem, request_id)).encode()
        headers = [
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(data)).encode()),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=data), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
