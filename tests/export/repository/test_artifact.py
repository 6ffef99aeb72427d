"""Versions go into a real registry and come back by their digests, and nothing is believed of what it sends."""

import base64
import contextlib
import errno
import functools
import hashlib
import http.server
import io
import json
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from export.errors import RepositoryError
from export.repository import publish_copy
from export.repository.artifact import opened, push
from export.repository.publishing import sign_version
from export.repository.pull import pull
from export.repository.registry import MOST_MANIFEST_BYTES, Address, Registry, _container
from export.repository.signing import Signer
from tests.certificates import make_certificates
from tests.export.repository.samples import publish_once, tree
from tests.fixture_types import Signs
from tests.running_registry import PASSWORD, USER, RunningRegistry, running_registry


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docker configuration that is empty."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RunningRegistry]:
    with running_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def signs(signs: Signs) -> Signs:
    """Runs `signs repository ...`."""
    return functools.partial(signs, "repository")


def log_in(folder: Path, registry: RunningRegistry, password: str) -> None:
    """Writes what `docker login` does."""
    folder.mkdir(exist_ok=True)
    secret = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": secret}}}))


def digest_of(address: str) -> str:
    return address.partition("@")[2]


def test_versions_come_back_by_digest_by_number_and_as_the_newest(
    signs: Signs, registry: RunningRegistry, tmp_path: Path
) -> None:
    for content, batch in ((b"1", 64), (b"2", 32)):
        publish_once("model_repository", content, batch)
    code, out, err = signs("push", "model_repository", registry.address, "--version", "m=1,2", "--json")
    assert code == 0, err
    pushed = {each["version"]: each for each in json.loads(out)}
    assert [pushed[number]["sent"] for number in (1, 2)] == [True, True]

    code, out, err = signs("pull", pushed[1]["address"], "by_digest")
    assert (code, out) == (0, "pulled: by_digest/m/1\n"), err
    assert signs("pull", registry.address, "by_number", "--version", "m=1")[0] == 0
    assert signs("pull", registry.address, "newest", "--version", "m")[1] == "pulled: newest/m/2\n"
    assert signs("pull", pushed[2]["address"], "all_of_it", "--version", "m=2")[0] == 0
    assert signs("pull", "model_repository", "from_folder", "--version", "m=1")[0] == 0
    expected = tree(Path("from_folder"))
    assert tree(Path("by_digest")) == tree(Path("by_number")) == expected
    assert tree(Path("newest")) == tree(Path("all_of_it")) != expected

    code, out, _ = signs("push", "model_repository", registry.address, "--version", "m=1")
    assert (code, out) == (0, f"there already: m 1 {pushed[1]['address']}\n"), "whoever pushes it"
    assert tree(Path("from_folder")) == expected


def test_a_pushed_version_is_an_image_that_a_cluster_can_mount(registry: RunningRegistry, tmp_path: Path) -> None:
    """No cluster is here: what it reads of an image is looked at, in the registry's own files."""
    publish_once(tmp_path / "r", b"weights")
    (pushed,) = push(tmp_path / "r", registry.address, {})
    manifest = json.loads(registry.blob(digest_of(pushed.address)).read_bytes())
    config = json.loads(registry.blob(manifest["config"]["digest"]).read_bytes())
    (layer,) = manifest["layers"]

    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["artifactType"] == "application/vnd.traffic-signs.model-version.v1"
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    assert config["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"]]}, "which is not compressed"
    content = registry.blob(layer["digest"]).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (layer["size"], layer["digest"][7:])
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(tmp_path / "mounted", filter="data")
    pulled = pull(tmp_path / "mounted", tmp_path / "served", {"m": [1]})
    assert [(each.model, each.version) for each in pulled] == [("m", 1)]


def test_signatures_are_checked_on_both_ways(
    signs: Signs, registry: RunningRegistry, keys: Path, tmp_path: Path
) -> None:
    publish_once("model_repository")
    key, other = str(keys / "release.pub"), str(keys / "other.pub")
    code, _, err = signs("push", "model_repository", registry.address, "--public-key", key)
    assert code == 1 and "not signed" in err
    assert push("model_repository", registry.address, {})[0].sent
    sign_version("model_repository", "m", 1, Signer(keys / "release.pem"))
    code, out, err = signs("push", "model_repository", registry.address, "--public-key", key, "--json")
    assert code == 0, err
    (pushed,) = json.loads(out)
    assert pushed["sent"], "a version may be signed later"
    assert signs("pull", pushed["address"], "served", "--public-key", key)[0] == 0
    code, _, err = signs("pull", pushed["address"], "elsewhere", "--public-key", other)
    assert code == 1 and "signature" in err and not Path("elsewhere").exists()


def test_an_endless_manifest_is_not_read_to_its_end() -> None:
    sent = 0

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal sent
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client closes the connection
                while self.path.count("/manifests/") and sent < 16 * MOST_MANIFEST_BYTES:
                    sent += self.wfile.write(b" " * (1 << 16))

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            target = Registry(Address(f"127.0.0.1:{server.server_port}", "signs"))
            with pytest.raises(RepositoryError, match="another manifest"):
                target.manifest("m-1")
        finally:
            server.shutdown()
    assert sent < 8 * MOST_MANIFEST_BYTES  # and not the whole 16; some of it is still on its way


@pytest.mark.parametrize("what", ["manifest", "layer", "longer layer"])
def test_what_a_registry_alters_is_refused(registry: RunningRegistry, tmp_path: Path, what: str) -> None:
    publish_once(tmp_path / "r")
    (pushed,) = push(tmp_path / "r", registry.address, {})
    manifest_file = registry.blob(digest_of(pushed.address))
    layer_file = registry.blob(json.loads(manifest_file.read_bytes())["layers"][0]["digest"])
    file = manifest_file if what == "manifest" else layer_file
    content = file.read_bytes()
    if what == "longer layer":
        file.write_bytes(content + bytes(1 << 20))
    else:
        file.write_bytes(content.replace(b"weights", b"weightz").replace(b"fp32", b"fp16"))
    with (
        pytest.raises(RepositoryError, match=r"sends (another manifest|other bytes)"),
        opened(pushed.address, {}) as store,
    ):
        pull(store, tmp_path / "served", {})
    assert not (tmp_path / "served").exists()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "m/link"])
def test_a_layer_with_more_than_files_of_a_version_is_refused(
    registry: RunningRegistry, tmp_path: Path, name: str
) -> None:
    publish_once(tmp_path / "r")
    (pushed,) = push(tmp_path / "r", registry.address, {})
    target = Registry(Address.parse(registry.address))
    found = target.manifest(digest_of(pushed.address))
    assert found is not None
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = (tarfile.SYMTYPE, "/etc/passwd") if "link" in name else (tarfile.REGTYPE, "")
        tar.addfile(entry, io.BytesIO())
    layer = target.put_blob(tmp_path / "evil.tar", "application/vnd.oci.image.layer.v1.tar")
    digest = target.put_manifest("evil", found[1] | {"layers": [layer]})
    with pytest.raises(RepositoryError, match="not a file of a version"), opened(f"{registry.address}@{digest}", {}):
        pass
    assert not (tmp_path / "outside").exists()


def test_a_number_stands_for_one_version(registry: RunningRegistry, tmp_path: Path) -> None:
    publish_once(tmp_path / "r", b"ours")
    publish_once(tmp_path / "other", b"theirs")
    (first,) = push(tmp_path / "r", registry.address, {})
    with pytest.raises(RepositoryError, match=r"another version under the tag m-1.*publish it again"):
        push(tmp_path / "other", registry.address, {})
    publish_copy(tmp_path / "other" / "m" / "1", tmp_path / "r")
    assert [each.version for each in push(tmp_path / "r", registry.address, {"m": [2]})] == [2]
    assert push(tmp_path / "r", registry.address, {"m": [1]})[0].address == first.address


def test_credentials_are_those_of_docker_and_never_shown(
    signs: Signs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_once("model_repository")
    with running_registry(tmp_path / "registry", login=True) as registry:
        code, out, err = signs("push", "model_repository", registry.address)
        assert code == 1 and f"docker login {registry.host}" in err
        log_in(tmp_path / "docker", registry, "wrong-s3cret")
        code, out, err = signs("push", "model_repository", registry.address)
        assert code == 1 and f"docker login {registry.host}" in err and "s3cret" not in out + err
        assert base64.b64encode(f"{USER}:wrong-s3cret".encode()).decode() not in out + err
        log_in(tmp_path / "docker", registry, PASSWORD)
        code, out, err = signs("push", "model_repository", registry.address, "--json")
        assert code == 0 and PASSWORD not in out + err
        assert signs("pull", json.loads(out)[0]["address"], "served")[0] == 0
        (tmp_path / "docker" / "config.json").write_text(f'{{"auths": "{PASSWORD}')
        code, out, err = signs("pull", registry.address, "elsewhere")
        assert code == 1 and "docker login" in err and PASSWORD not in out + err


def test_a_login_may_be_what_a_cluster_takes(signs: Signs, tmp_path: Path) -> None:
    """Kubernetes does without `auth`, and lets an address stand for a host."""
    publish_once("model_repository")
    with running_registry(tmp_path / "registry", login=True) as registry:
        log_in(tmp_path / "docker", registry, PASSWORD)
        config = tmp_path / "docker" / "config.json"
        known = json.loads(config.read_text())["auths"][registry.host]
        config.write_text(json.dumps({"auths": {f"https://{registry.host}/v1/": known}}))
        assert signs("push", "model_repository", registry.address)[0] == 0
        config.write_text(json.dumps({"auths": {registry.host: {"username": USER, "password": PASSWORD}}}))
        assert signs("pull", registry.address, "served")[0] == 0


@pytest.mark.parametrize("login", ["https://index.docker.io/v1/", "index.docker.io", "docker.io"])
def test_docker_hub_is_asked_where_it_answers_with_the_login_that_docker_keeps(
    signs: Signs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    """A registry of this machine stands in for Docker Hub's, which cannot be written to from here."""
    publish_once("model_repository")
    with running_registry(tmp_path / "registry", login=True) as registry:
        monkeypatch.setattr("export.repository.registry.HUB_REGISTRY", registry.host)
        code, _, err = signs("push", "model_repository", "oci://docker.io/team/models", "--plain-http")
        assert code == 1 and "`docker login docker.io`" in err
        log_in(tmp_path / "docker", registry, PASSWORD)
        config = tmp_path / "docker" / "config.json"
        (known,) = json.loads(config.read_text())["auths"].values()
        config.write_text(json.dumps({"auths": {login: known}}))
        code, out, err = signs("push", "model_repository", "oci://docker.io/team/models", "--plain-http", "--json")
        assert code == 0, err
        address = json.loads(out)[0]["address"]
        assert address.startswith("oci://docker.io/team/models@")
        assert signs("pull", address, "served", "--plain-http")[0] == 0


def test_docker_hubs_registry_has_another_name() -> None:
    assert _container(Address.parse("oci://docker.io/a/b")).manifest_url("1") == (
        "registry-1.docker.io/v2/a/b/manifests/1"
    )


def test_tls_is_spoken_and_checked(signs: Signs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_once("model_repository")
    certificates = make_certificates(tmp_path)
    with running_registry(tmp_path / "registry", tls=certificates.server) as registry:
        code, _, err = signs("push", "model_repository", registry.address, "--no-plain-http")
        assert code == 1 and "REQUESTS_CA_BUNDLE" in err
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
        assert signs("push", "model_repository", registry.address, "--no-plain-http")[0] == 0
        assert signs("pull", registry.address, "served", "--no-plain-http")[0] == 0
        assert signs("pull", registry.address, "elsewhere")[0] == 1, "plain HTTP where nothing is said"


def test_an_address_may_be_one_of_ipv6_and_a_name_may_have_dots(signs: Signs, tmp_path: Path) -> None:
    publish_once("model_repository")
    with socket.socket(socket.AF_INET6) as probe:
        if probe.connect_ex(("::1", 9)) == errno.EADDRNOTAVAIL:
            pytest.skip("no IPv6 on this machine: enable it on the loopback interface")
    with running_registry(tmp_path / "registry", address="[::1]") as registry:
        for name in ("models", "team.example/models"):
            code, out, err = signs("push", "model_repository", f"oci://{registry.host}/{name}", "--json")
            assert code == 0, err
            (pushed,) = json.loads(out)
            assert pushed["address"].startswith(f"oci://{registry.host}/{name}@sha256:")
            assert signs("pull", pushed["address"], f"pulled-{len(name)}")[0] == 0


@pytest.mark.parametrize("place", ["localhost/a", "registry/team.example/a", "ghcr.io/b.c/d/a", "[::1]:5000/a"])
def test_a_name_belongs_to_the_registry_before_it(place: str) -> None:
    """Whether host and name have dots or not: nothing goes to another registry."""
    host, _, name = place.partition("/")
    assert _container(Address.parse(f"oci://{place}")).manifest_url("1") == f"{host}/v2/{name}/manifests/1"


def test_what_is_not_there_is_named(signs: Signs, registry: RunningRegistry, tmp_path: Path) -> None:
    publish_once("model_repository")
    missing = f"{registry.address}@sha256:{'0' * 64}"
    for arguments, reason in (
        (("pull", registry.address, "served", "--version", "m=1"), "no model m"),
        (("pull", missing, "served"), "push the version, or give another digest"),
        (("push", "model_repository", registry.address, "--version", "m=7"), "7"),
        (("push", "model_repository", missing), "which a push makes"),
        (("push", "model_repository", "oci://nowhere"), "oci://HOST"),
        (("push", "model_repository", "s3://bucket/models"), "oci://HOST"),
        (("list", "--repository", registry.address), "signs repository pull"),
        (("push", "model_repository", "oci://127.0.0.1:1/signs/models"), "check the address"),
        (("push", "nowhere", "oci://127.0.0.1:1/signs/models"), "there is no repository at nowhere"),
    ):
        code, _, err = signs(*arguments)
        assert code == 1 and reason in err and len(err.strip().splitlines()) == 1, (arguments, err)
    code, out, _ = signs("pull", registry.address, "served", "--version", "m", "--missing-ok")
    assert code == 0 and "nothing was pulled" in out
    push("model_repository", registry.address, {})
    for number in ("2", "1,2"):
        for leave_out in ((), ("--missing-ok",)):
            code, _, err = signs("pull", registry.address, "served", "--version", f"m={number}", *leave_out)
            assert code == 1 and not Path("served").exists()
            assert err == f"signs: there is no version 2 of m in {registry.address}: it has 1\n"


def test_something_else_in_a_registry_is_no_version(registry: RunningRegistry, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"{}")
    target = Registry(Address.parse(registry.address))
    blob = target.put_blob(tmp_path / "file", "application/octet-stream")
    other: dict[str, Any] = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    extras: tuple[dict[str, Any], ...] = ({}, {"annotations": {}}, {"annotations": {"traffic-signs.model": "m"}})
    for extra in extras:
        digest = target.put_manifest("other", other | {"config": blob, "layers": [blob]} | extra)
        with (
            pytest.raises(RepositoryError, match="no version that was pushed by signs"),
            opened(f"{registry.address}@{digest}", {}),
        ):
            pass


@pytest.mark.parametrize(
    ("text", "is_loopback"),
    [
        ("oci://localhost:5000/a", True),
        ("oci://127.8.0.1:5000/a/b", True),
        ("oci://[::1]:5000/a", True),
        ("oci://[::1]/a@sha256:" + "0" * 64, True),
        ("oci://[2001:db8::1]:5000/a", False),
        ("oci://ghcr.io/someone/models", False),
        ("oci://localhost.example.com/a", False),
    ],
)
def test_plain_http_is_for_this_machine(text: str, is_loopback: bool) -> None:
    assert Address.parse(text).is_loopback is is_loopback
    assert str(Address.parse(text)) == text
