"""Receives what Alertmanager sends to an incoming webhook, in place of Slack."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.monitoring.rule_files import MONITORING


@dataclass(frozen=True)
class Message:
    """A message as it arrived.

    Attributes:
        receiver: `pages` or `tickets`.
        title: without the number of alerts; begins with `over: ` where the trouble is over.
        text: all of it.
        colour: of its bar.
    """

    receiver: str
    title: str
    text: str
    colour: str


class Receiver:
    """All messages that have arrived, oldest first."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.messages: list[Message] = []

    def firing(self, after: int = 0) -> set[tuple[str, str]]:
        """Returns receiver and title of each message about trouble, the first `after` messages left out."""
        return {
            (message.receiver, message.title)
            for message in self.messages[after:]
            if not message.title.startswith("over: ")
        }

    def configure(self, folder: Path) -> Path:
        """Copies the configuration of Alertmanager and puts the address of this receiver where the secrets belong."""
        shutil.copytree(MONITORING / "alertmanager", folder, dirs_exist_ok=True)
        (folder / "secrets").mkdir()
        for name in ("pages", "tickets"):
            (folder / "secrets" / name).write_text(f"http://127.0.0.1:{self.port}/{name}")
        config = folder / "alertmanager.yml"
        config.write_text(config.read_text().replace("/etc/alertmanager/secrets", str(folder / "secrets")))
        return config


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listens for messages while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            (attachment,) = content["attachments"]
            title = attachment["title"].partition(" (")[0]
            receiver.messages.append(Message(self.path[1:], title, attachment["text"], attachment["color"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
