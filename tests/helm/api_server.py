"""The part of a Kubernetes API server that Helm needs: it keeps objects, and a pod succeeds as soon as it is made.

No cluster can run where these tests do. What is real is Helm, both of them: how it makes, owns, waits for, prints and
deletes objects. Nothing is scheduled, nothing is collected.
"""

import base64
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]

NAMED = {
    "v1": ("ConfigMap", "Secret", "Service", "ServiceAccount", "Pod", "PersistentVolumeClaim", "Namespace"),
    "apps/v1": ("Deployment",),
    "networking.k8s.io/v1": ("NetworkPolicy", "Ingress"),
    "policy/v1": ("PodDisruptionBudget",),
}
LOGS = "what the pod has said\n"
PROTOBUF = b"k8s\x00"


def plural(kind: str) -> str:
    """Returns the name of a kind in paths."""
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}es" if name.endswith("s") else f"{name}s"


KINDS = {plural(kind): (kind, group) for group, kinds in NAMED.items() for kind in kinds}


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Gives number and content of the fields of a protobuf message that are text, bytes or messages."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(message):
        tag = varint()
        length = varint()  # or, of another kind of field, its value
        if tag & 7 == 2:
            yield tag >> 3, message[place : place + length]
            place += length


def read_secret(sent: bytes) -> Object:
    """Returns the Secret of a request: what Helm needs of it again."""
    raw = dict(fields(sent.removeprefix(PROTOBUF)))[2]
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"labels": {}}, "data": {}}
    for number, content in fields(raw):
        if number == 1:
            for of_metadata, text in fields(content):
                if of_metadata in (1, 3):
                    secret["metadata"][{1: "name", 3: "namespace"}[of_metadata]] = text.decode()
                elif of_metadata == 11:
                    key, value = (part.decode() for _, part in fields(text))
                    secret["metadata"]["labels"][key] = value
        elif number == 2:
            entry = dict(fields(content))
            secret["data"][entry[1].decode()] = base64.b64encode(entry[2]).decode()
        elif number == 3:
            secret["type"] = content.decode()
    return secret


class Store:
    """Objects by path, and what has happened to them, in order."""

    def __init__(self) -> None:
        """Starts with none."""
        self.objects: dict[str, Object] = {}
        self.events: list[tuple[str, str, Object]] = []
        self.changed = threading.Condition()

    def put(self, path: str, content: Object) -> Object:
        """Keeps an object as the server would, and returns it."""
        with self.changed:
            old = self.objects.get(path)
            metadata = content.setdefault("metadata", {})
            metadata["uid"] = old["metadata"]["uid"] if old else str(uuid.uuid4())
            metadata["resourceVersion"] = str(len(self.events) + 1)
            metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
            if content["kind"] == "Pod":
                content["status"] = {"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "False"}]}
            self.objects[path] = content
            self._record("MODIFIED" if old else "ADDED", path, content)
        return content

    def delete(self, path: str) -> Object | None:
        """Removes an object, and returns it."""
        with self.changed:
            old = self.objects.pop(path, None)
            if old:
                self._record("DELETED", path, old)
        return old

    def _record(self, what: str, path: str, content: Object) -> None:
        self.events.append((what, path, json.loads(json.dumps(content))))
        self.changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    """Answers what Helm asks."""

    store: Store
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Is quiet."""

    def answer(self, content: object, code: int = 200) -> None:
        """Sends JSON, or text."""
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def refuse(self, code: int, reason: str) -> None:
        """Sends a Status."""
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
        self.answer({**status, "message": f"{self.path}: {reason}"}, code)

    def body(self) -> Object:
        """Returns what was sent: JSON, YAML where something is applied, protobuf where Helm keeps its own records."""
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = read_secret(sent) if sent.startswith(PROTOBUF) else yaml.load(sent, yaml.CSafeLoader)
        assert isinstance(content, dict)
        return content

    def do_GET(self) -> None:
        """Discovery, an object, a list, a watch, logs."""
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        path = url.path.rstrip("/")
        found = discovery(path)
        if found is not None:
            self.answer(found)
        elif path.endswith("/log"):
            known = path.removesuffix("/log") in self.store.objects
            self.answer(LOGS) if known else self.refuse(404, "NotFound")
        elif (last := path.rpartition("/")[2]) not in KINDS:
            each = self.store.objects.get(path)
            self.answer(each) if each else self.refuse(404, "NotFound")
        elif "sendInitialEvents" in query:  # an older way of asking follows
            self.refuse(422, "Invalid")
        elif query.get("watch") in ("true", "1"):
            self.watch(path, query)
        else:
            with self.store.changed:
                items = [each for each in self.below(path) if matches(each, query)]
                version = str(len(self.store.events))
            kind, group = KINDS[last]
            metadata = {"resourceVersion": version}
            self.answer({"kind": f"{kind}List", "apiVersion": group, "metadata": metadata, "items": items})

    def below(self, path: str) -> list[Object]:
        """Returns the objects of a list."""
        return [each for name, each in self.store.objects.items() if name.rpartition("/")[0] == path]

    def watch(self, path: str, query: dict[str, str]) -> None:
        """Sends what happens, until the client leaves or some seconds are over."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        sent = int(query.get("resourceVersion") or 0)
        for _ in range(300):
            with self.store.changed:
                self.store.changed.wait(0.2)
                news, sent = self.store.events[sent:], len(self.store.events)
            try:
                for what, name, each in news:
                    if name.rpartition("/")[0] == path and matches(each, query):
                        self.wfile.write(json.dumps({"type": what, "object": each}).encode() + b"\n")
                self.wfile.flush()
            except OSError:
                return
        self.close_connection = True

    def do_POST(self) -> None:
        """Makes an object that is not there yet."""
        content = self.body()
        path = f"{urlsplit(self.path).path}/{content['metadata']['name']}"
        if path in self.store.objects:
            self.refuse(409, "AlreadyExists")
        else:
            self.answer(self.store.put(path, content), 201)

    def do_PUT(self) -> None:
        """Replaces an object."""
        self.answer(self.store.put(urlsplit(self.path).path, self.body()))

    def do_PATCH(self) -> None:
        """Applies an object, or merges into one: Helm's patches have no lists in them that matter here."""
        path, sent = urlsplit(self.path).path, self.body()
        if "apply" in self.headers["Content-Type"]:
            self.answer(self.store.put(path, sent), 200 if path in self.store.objects else 201)
        else:
            self.answer(self.store.put(path, merged_patch(self.store.objects[path], sent)))

    def do_DELETE(self) -> None:
        """Deletes an object."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        old = self.store.delete(urlsplit(self.path).path)
        self.answer(old) if old else self.refuse(404, "NotFound")


def merged_patch(old: Object, patch: Object) -> Object:
    """Returns an object with a merge patch in it."""
    new = dict(old)
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        elif isinstance(value, dict) and isinstance(new.get(key), dict):
            new[key] = merged_patch(new[key], value)
        else:
            new[key] = value
    return new


def matches(each: Object, query: dict[str, str]) -> bool:
    """Says whether selectors choose an object; they are equalities of labels, or of its name."""
    metadata = each["metadata"]
    wanted = [part.partition("=")[::2] for part in query.get("labelSelector", "").split(",") if part]
    fields = dict(part.partition("=")[::2] for part in query.get("fieldSelector", "").split(",") if part)
    labels = metadata.get("labels", {})
    return (
        all(labels.get(key) == value.lstrip("=") for key, value in wanted)
        and fields.get("metadata.name", metadata["name"]) == metadata["name"]
    )


def discovery(path: str) -> Object | None:
    """Returns what the server says of itself at a path; None for paths of objects."""
    groups = sorted(group for group in NAMED if "/" in group)
    if path == "/version":
        return {"major": "1", "minor": "35", "gitVersion": "v1.35.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        listed = [{"groupVersion": each, "version": each.partition("/")[2]} for each in groups]
        named = [
            {"name": each["groupVersion"].partition("/")[0], "versions": [each], "preferredVersion": each}
            for each in listed
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": named}
    if path == "/openapi/v3":
        places = [f"apis/{each}" if "/" in each else f"api/{each}" for each in NAMED]
        return {"paths": {each: {"serverRelativeURL": f"/openapi/v3/{each}"} for each in places}}
    version = path.removeprefix("/openapi/v3").removeprefix("/apis/").removeprefix("/api/")
    if version not in NAMED:
        return None
    if path.startswith("/openapi/"):
        return openapi(version)
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    resources = [
        {
            "name": plural(kind),
            "singularName": kind.lower(),
            "namespaced": kind != "Namespace",
            "kind": kind,
            "verbs": verbs,
        }
        for kind in NAMED[version]
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def openapi(version: str) -> Object:
    """Returns a description that says no more than that the server validates what it is sent, as real ones do."""
    group, _, number = version.rpartition("/")
    asked = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
    paths = {}
    for kind in NAMED[version]:
        of_kind = {"group": group, "version": number, "kind": kind}
        patch = {"parameters": asked, "responses": {}, "x-kubernetes-group-version-kind": of_kind}
        paths[f"/{plural(kind)}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.35.0"}, "paths": paths}


@contextmanager
def api_server(folder: Path) -> Iterator[tuple[Store, Path]]:
    """Runs the server; gives its objects, and the file by which a client finds it."""
    store = Store()
    handler = type("Bound", (Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "signs"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    try:
        yield store, folder / "kubeconfig"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
