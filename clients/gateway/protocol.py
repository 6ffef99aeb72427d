"""Answers requests that are not valid HTTP with a problem."""

import json
import secrets

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from clients.gateway import problems
from clients.gateway.problems import UNREADABLE, ProblemError


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
