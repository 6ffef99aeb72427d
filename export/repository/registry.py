"""A registry of OCI artifacts, through oras: pushes and fetches blobs and manifests, and checks every digest."""

import base64
import contextlib
import functools
import hashlib
import ipaddress
import json
import logging
import os
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.errors import RepositoryError
from traffic_signs.progress import Advance

SCHEME = "oci://"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
TIMEOUT_S = (10.0, 60.0)  # to connect, and for the next bytes
ATTEMPTS, PAUSE_S = 3, 0.5  # if a registry is busy; doubled each time
DENIED = ("authentication", "Unauthorized", "Forbidden")  # in oras' messages if a registry refuses
MOST_MANIFEST_BYTES = 4 << 20  # as registries allow
# Docker Hub: its names, the host of its registry, and the names under which docker stores a login.
HUB = ("docker.io", "index.docker.io")
HUB_REGISTRY = "registry-1.docker.io"
HUB_LOGINS = ("https://index.docker.io/v1/", *HUB, HUB_REGISTRY)


@dataclass(frozen=True)
class Address:
    """What `oci://HOST[:PORT]/NAME[@sha256:...]` names; the digest is empty if none is given."""

    host: str
    name: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Reads an address; raises RepositoryError if it is none."""
        found = re.fullmatch(
            r"oci://((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?)/([a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
            r"(?:@(sha256:[0-9a-f]{64}))?",
            text,
        )
        if found is None:
            raise RepositoryError(
                f"{text} is not an address in a registry: give oci://HOST[:PORT]/NAME, NAME in lower case, or with "
                "@sha256:DIGEST one version of it"
            )
        return cls(found[1], found[2], found[3] or "")

    @property
    def server(self) -> str:
        """The host that answers for the registry, and a port if there is one."""
        return HUB_REGISTRY if self.host in HUB else self.host

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        host = re.sub(r":\d+$", "", self.host).strip("[]")
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(host).is_loopback
        return host == "localhost"

    def __str__(self) -> str:
        return f"{SCHEME}{self.host}/{self.name}" + (f"@{self.digest}" if self.digest else "")


class Registry:
    """One repository of a registry.

    Credentials are those of docker's configuration: `docker login`, or config.json in the folder DOCKER_CONFIG.

    Args:
        address: its digest is ignored.
        plain_http: use HTTP without TLS; None does so for registries of this machine only.

    Raises:
        RepositoryError: the library is not installed, or the registry cannot be reached.
    """

    def __init__(self, address: Address, plain_http: bool | None = None) -> None:
        try:
            import oras.logger
            import oras.provider
        except ImportError as error:
            raise RepositoryError(f"the library for {SCHEME} is not installed: pip install '.[oci]'") from error
        oras.logger.logger.set_level(logging.CRITICAL)  # errors are raised; its log has answers of registries
        self.name = f"{SCHEME}{address.host}/{address.name}"
        self._host = address.host
        self._container = _container(address)
        insecure = address.is_loopback if plain_http is None else plain_http
        self._client = _client(insecure, "token")
        self._base = f"{self._client.prefix}://{address.server}/v2/"
        with self._clear_errors("reach"):
            challenge = self._client.session.get(self._base).headers.get("Www-Authenticate", "")
            if challenge.lower().startswith("basic"):
                self._client = _client(insecure, "basic")
            self._client.auth._auth_config = _docker_config()
            for host in HUB_LOGINS if address.server == HUB_REGISTRY else (address.host,):
                if not hasattr(self._client.auth, "_basic_auth"):
                    self._client.auth.load_configs(_container(address, host))
            if challenge.lower().startswith("basic") and not hasattr(self._client.auth, "_basic_auth"):
                raise RepositoryError(f"{self.name} wants credentials, and there are none: `docker login {self._host}`")

    def tags(self) -> list[str]:
        """Returns all tags; none for a repository that is not there yet."""
        with self._clear_errors("list"):
            try:
                return list(self._client.get_tags(self._container))
            except ValueError as error:
                if "Not Found" in str(error):
                    return []
                raise

    def manifest(self, reference: str) -> tuple[str, dict[str, Any]] | None:
        """Returns digest and content of the manifest of a tag or a digest, None for none.

        Raises:
            RepositoryError: the registry sends another one than the digest names, or no manifest.
        """
        with self._clear_errors("read"):
            url = f"{self._base}{self._container.api_prefix}/manifests/{reference}"
            with self._client.do_request(url, headers={"Accept": MANIFEST_TYPE}, stream=True) as response:
                if response.status_code == 404:
                    return None
                self._check(response)
                content = b""
                for piece in response.iter_content(1 << 16):
                    content += piece
                    if len(content) > MOST_MANIFEST_BYTES:
                        break
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if len(content) > MOST_MANIFEST_BYTES or (reference.startswith("sha256:") and reference != digest):
            raise RepositoryError(f"{self.name} sends another manifest than {reference}: do not trust this registry")
        try:
            manifest = json.loads(content)
            manifest["layers"], manifest["annotations"]
        except (ValueError, LookupError, TypeError) as error:
            raise RepositoryError(f"{self.name} has at {reference} no version that was pushed by signs") from error
        return digest, manifest

    def put_manifest(self, tag: str, manifest: dict[str, Any]) -> str:
        """Stores a manifest under a tag and returns its digest."""
        content = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        with self._clear_errors("write to"):
            url = f"{self._base}{self._container.api_prefix}/manifests/{tag}"
            self._check(self._client.do_request(url, "PUT", data=content, headers={"Content-Type": MANIFEST_TYPE}))
        return f"sha256:{hashlib.sha256(content).hexdigest()}"

    def put_blob(self, file: Path, media_type: str) -> dict[str, Any]:
        """Stores a file unless it is there, and returns its descriptor: mediaType, digest and size in bytes."""
        import oras.oci

        descriptor: dict[str, Any] = oras.oci.NewLayer(str(file), media_type=media_type)
        with self._clear_errors("write to"):
            self._check(self._client.upload_blob(str(file), self._container, descriptor))
        return descriptor

    def fetch_blob(self, descriptor: dict[str, Any], target: Path, advance: Advance) -> None:
        """Downloads a blob; raises RepositoryError if it is missing or not what the descriptor says."""
        found, size = hashlib.sha256(), 0
        with (
            self._clear_errors("read"),
            self._client.get_blob(self._container, descriptor["digest"], stream=True) as response,
            target.open("wb") as file,
        ):
            self._check(response)
            for piece in response.iter_content(1 << 20):
                size += len(piece)
                if size > descriptor["size"]:
                    break
                found.update(piece)
                file.write(piece)
                advance(len(piece))
        if size != descriptor["size"] or f"sha256:{found.hexdigest()}" != descriptor["digest"]:
            raise RepositoryError(
                f"{self.name} sends other bytes than {descriptor['digest']}: pull again, or push the version again"
            )

    def _check(self, response: Any) -> None:
        if response.status_code in (401, 403):
            raise RepositoryError(
                f"may not use {self.name} ({response.status_code}): `docker login {self._host}` with the rights for it"
            )
        if not response.ok:
            said = response.text[:500].strip() or response.reason
            raise RepositoryError(f"{self.name} answers {response.status_code}: {said}")

    @contextlib.contextmanager
    def _clear_errors(self, doing: str) -> Iterator[None]:
        import requests

        try:
            yield
        except requests.exceptions.SSLError as error:
            raise RepositoryError(
                f"no TLS with {self.name} ({error}): name its authority in REQUESTS_CA_BUNDLE, or give --plain-http"
            ) from error
        except (requests.RequestException, ValueError, RuntimeError) as error:
            if any(word in str(error) for word in DENIED):
                raise RepositoryError(
                    f"may not {doing} {self.name}: `docker login {self._host}` with the rights for it"
                ) from error
            raise RepositoryError(
                f"cannot {doing} {self.name} ({error}): check the address and the network, or give --plain-http if "
                "it speaks no TLS"
            ) from error


def _container(address: Address, host: str = "") -> Any:
    """Returns oras' repository for an address; oras itself reads oci://localhost/a as a name on Docker Hub."""
    import oras.container

    container = oras.container.Container(address.name)
    container.registry = host or address.server
    container.namespace, _, container.repository = address.name.rpartition("/")
    return container


def _client(insecure: bool, auth_backend: str) -> Any:
    """Returns oras' client with time limits, and with retries that end within seconds and not minutes."""
    import oras.provider
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    client = oras.provider.Registry(insecure=insecure, auth_backend=auth_backend)
    client.do_request = types.MethodType(oras.provider.Registry.do_request.__wrapped__, client)
    client.session.request = functools.partial(client.session.request, timeout=TIMEOUT_S)
    # A repeated write is harmless, because blobs and manifests have digests.
    retry = Retry(ATTEMPTS, backoff_factor=PAUSE_S, status_forcelist=(429, 502, 503, 504), allowed_methods=None)
    retry.raise_on_status = False
    client.session.mount(f"{client.prefix}://", HTTPAdapter(max_retries=retry))
    return client


def _docker_config() -> dict[str, Any]:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    names: dict[str, Any] = {"auths": {}, "credHelpers": {}, "credsStore": None}
    try:
        config = json.loads((folder / "config.json").read_text())
        found = {name: config.get(name) or empty for name, empty in names.items()}
        logins = {host: _with_auth(login) for host, login in found["auths"].items()}
        # The Secret of a cluster may have an address in place of a host.
        hosts = {re.sub(r"^https?://|/(v[12]/?)?$", "", host): login for host, login in logins.items()}
        return {**found, "auths": {**hosts, **logins}}
    except FileNotFoundError:
        return names
    except (OSError, ValueError, AttributeError):  # the reason could show a secret
        raise RepositoryError(f"{folder / 'config.json'} cannot be read: `docker login` writes it anew") from None


def _with_auth(login: dict[str, str]) -> dict[str, str]:
    """Returns a login with `auth`, which Kubernetes leaves out beside user and password."""
    if not login or login.get("auth") or not login.get("username"):
        return login
    return {**login, "auth": base64.b64encode(f"{login['username']}:{login.get('password', '')}".encode()).decode()}
