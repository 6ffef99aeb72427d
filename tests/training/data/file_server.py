"""A real HTTP server on this machine whose answers a test can spoil."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What a server has, and how it behaves.

    Attributes:
        address: of the server, without a slash at the end.
        files: contents by name.
        headers: sent with each file, such as an ETag.
        ranges: whether it understands Range; one that does not sends the whole file.
        heeds_if_range: whether it sends the whole file where If-Range names another version.
        statuses: what the next requests are answered with in place of a file; 200 is a file.
        cuts: after how many bytes of the body the next answers end; None is after all.
        redirect: where every request is sent; empty for nowhere.
        requests: the Range and If-Range of each request so far.
        stalls: whether an answer that is cut waits for `go_on`, in place of ending at once.
        go_on: see stalls.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    heeds_if_range: bool = True
    statuses: list[int] = field(default_factory=list)
    cuts: list[int | None] = field(default_factory=list)
    redirect: str = ""
    requests: list[tuple[str | None, str | None]] = field(default_factory=list)
    stalls: bool = False
    go_on: threading.Event = field(default_factory=threading.Event)


@contextmanager
def running_file_server() -> Iterator[FileServer]:
    """Yields a server that runs until the block ends."""
    state = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, state)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            state.go_on.set()
            server.shutdown()
            thread.join()


def _answer(handler: BaseHTTPRequestHandler, state: FileServer) -> None:
    wanted, version = handler.headers["Range"], handler.headers["If-Range"]
    state.requests.append((wanted, version))
    status = state.statuses.pop(0) if state.statuses else 200
    content = state.files.get(handler.path.removeprefix("/"))
    if state.redirect:
        handler.send_response(302)
        handler.send_header("Location", state.redirect)
        handler.end_headers()
        return
    if status != 200 or content is None:
        handler.send_error(status if status != 200 else 404)
        return
    current = {state.headers.get("ETag"), state.headers.get("Last-Modified")}
    start = 0
    if state.ranges and wanted and (version is None or version in current or not state.heeds_if_range):
        match = re.fullmatch(r"bytes=(\d+)-", wanted)
        assert match is not None
        start = int(match[1])
        if start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.end_headers()
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    else:
        handler.send_response(200)
    headers = {"Content-Length": str(len(content) - start)} | state.headers
    for name, value in headers.items():
        if value:
            handler.send_header(name, value)
    handler.end_headers()
    cut = state.cuts.pop(0) if state.cuts else None
    handler.wfile.write(content[start : None if cut is None else start + cut])
    if cut is not None and state.stalls:
        handler.wfile.flush()
        state.go_on.wait()
