"""Signatures hold for what was signed, and for nothing else."""

import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from export.errors import RepositoryError
from export.repository import publish_copy, versions
from export.repository.publishing import sign_version
from export.repository.pull import pull
from export.repository.signing import Signer, check_signature
from export.repository.verification import check_served, verify
from tests.export.repository.samples import publish_once


@pytest.fixture
def folder(tmp_path: Path, keys: Path) -> Path:
    """A signed version."""
    publish_once(tmp_path / "r", signer=Signer(keys / "release.pem"))
    return tmp_path / "r" / "m" / "1"


def signatures(place: str | Path, key: Path) -> list[str]:
    return [check.signature for check in verify(place, "m", public_key=key) if check.version is not None]


def test_a_signed_version_verifies_with_its_key_and_no_other(place: str, keys: Path) -> None:
    publish_once(place, signer=Signer(keys / "release.pem"))
    publish_once(place, b"2")
    assert signatures(place, keys / "release.pub") == ["valid", "none"]
    assert signatures(place, keys / "other.pub") == ["invalid", "none"]
    problems = [bool(check.problems) for check in verify(place, public_key=keys / "release.pub")]
    assert problems == [False, True, False], "with a key, an unsigned version is a problem"
    assert not any(check.problems for check in verify(place)), "without one it is none"


def test_a_version_can_be_signed_later_and_anew(place: str, keys: Path) -> None:
    publish_once(place)
    for name in ("other", "release"):
        sign_version(place, "m", 1, Signer(keys / f"{name}.pem"))
        assert signatures(place, keys / f"{name}.pub") == ["valid"]


def test_a_damaged_version_is_not_signed(tmp_path: Path, keys: Path) -> None:
    publish_once(tmp_path)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"x")
    with pytest.raises(RepositoryError, match="not the file that was published"):
        sign_version(tmp_path, "m", 1, Signer(keys / "release.pem"))
    assert not (tmp_path / "m" / "1" / "model.sig").exists()


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "config.pbtxt", "labels.txt"])
def test_any_altered_file_breaks_the_signature(folder: Path, keys: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(RepositoryError, match=f"does not hold.*{name}"):
        check_signature(folder, keys / "release.pub")


@pytest.mark.parametrize("name", ["new.py", ".gitignore", ".git/hook", "__pycache__/model.pyc"])
def test_any_added_file_breaks_the_signature(folder: Path, keys: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    with pytest.raises(RepositoryError, match="does not hold"):
        check_signature(folder, keys / "release.pub")


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "null"])
def test_a_damaged_signature_is_refused(folder: Path, keys: Path, content: str) -> None:
    (folder / "model.sig").write_text(content)
    with pytest.raises(RepositoryError, match="does not hold"):
        check_signature(folder, keys / "release.pub")


def test_altering_files_and_manifest_alike_does_not_help(folder: Path, keys: Path) -> None:
    """The case for which a checksum alone is not enough."""
    from export.repository.manifest import describe, parse_manifest

    (folder / "model.onnx").write_bytes(b"evil")
    manifest = parse_manifest((folder / "manifest.json").read_bytes(), "")
    manifest.files["model.onnx"] = describe(folder / "model.onnx")
    (folder / "manifest.json").write_bytes(manifest.to_bytes())
    assert check_served(folder.parents[1]) == []
    with pytest.raises(RepositoryError, match=r"signature of .* does not hold"):
        check_served(folder.parents[1], keys / "release.pub")


@pytest.mark.parametrize("name", ["config.pbtxt", "labels.txt"])
def test_what_lies_beside_a_signed_version_must_be_its_own(folder: Path, keys: Path, name: str) -> None:
    beside = folder.parent / name
    assert check_served(folder.parents[1], keys / "release.pub") == []
    changed = {"config.pbtxt": 'name: "m" backend: "evil"', "labels.txt": "b\na\n"}[name]
    beside.write_text(changed)
    with pytest.raises(RepositoryError, match=f"m/{name} is not the one that was signed"):
        check_served(folder.parents[1], keys / "release.pub")


def test_a_model_in_a_hidden_folder_is_looked_at_too(folder: Path, keys: Path) -> None:
    """Triton loads it."""
    (folder.parents[1] / ".hidden" / "1").mkdir(parents=True)
    (folder.parents[1] / ".hidden" / "1" / "model.py").touch()
    with pytest.raises(RepositoryError, match="hidden"):
        check_served(folder.parents[1], keys / "release.pub")


def test_a_signed_version_under_another_number_is_refused(folder: Path, keys: Path) -> None:
    folder.rename(folder.with_name("2"))
    (check, *_) = verify(folder.parents[1], public_key=keys / "release.pub")
    assert any("says it is m 1, not m 2" in problem for problem in check.problems)


def test_a_copy_is_signed_anew(place: str, folder: Path, keys: Path) -> None:
    with pytest.raises(RepositoryError, match="does not hold"):
        publish_copy(folder, place, public_key=keys / "other.pub")
    assert versions(place, "m") == []
    publish_copy(folder, place, signer=Signer(keys / "other.pem"), public_key=keys / "release.pub")
    publish_copy(folder, place, again=True)
    assert signatures(place, keys / "other.pub") == ["valid", "none"]


def test_keys_that_cannot_be_used_are_named(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    (tmp_path / "text.pem").write_text("no key")
    (tmp_path / "ed.pem").write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(pem, pkcs8, plain))
    (tmp_path / "k1.pem").write_bytes(ec.generate_private_key(ec.SECP256K1()).private_bytes(pem, pkcs8, plain))
    for path in (tmp_path / "text.pem", tmp_path / "ed.pem", tmp_path / "k1.pem", tmp_path, keys / "release.pub"):
        with pytest.raises(RepositoryError, match=r"cannot sign .*P-256"):
            Signer(path).check()
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        pem, pkcs8, serialization.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    for password in (None, "wrong"):
        if password:
            monkeypatch.setenv("SIGNS_KEY_PASSWORD", password)
        with pytest.raises(RepositoryError, match="SIGNS_KEY_PASSWORD") as caught:
            Signer(tmp_path / "locked.pem").check()
        assert "wrong" not in str(caught.value).replace("is wrong", "")
    monkeypatch.setenv("SIGNS_KEY_PASSWORD", "secret")
    Signer(tmp_path / "locked.pem").check()


def test_a_public_key_that_cannot_be_used_is_named_and_no_version_is_blamed(
    place: str, folder: Path, keys: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.pub").write_text("no key")
    for path in (tmp_path / "missing.pub", tmp_path / "text.pub", tmp_path, keys / "release.pem"):
        for attempt in (
            lambda path=path: verify(folder.parents[1], public_key=path),
            lambda path=path: publish_copy(folder, place, public_key=path),
            lambda path=path: pull(folder.parents[1], tmp_path / "pulled", {"m": [1]}, path),
            lambda path=path: check_served(folder.parents[1], path),
        ):
            with pytest.raises(
                RepositoryError, match=r"no signature can be checked with .*: give the PEM file"
            ) as reported:
                attempt()
            assert "publish the version again" not in str(reported.value)
    assert versions(place, "m") == [] and not (tmp_path / "pulled").exists()


def test_without_the_library_the_extra_is_named(folder: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(RepositoryError, match=r"'\.\[sign\]"):
        check_signature(folder, keys / "release.pub")
    with pytest.raises(RepositoryError, match=r"'\.\[sign\]"):
        Signer(keys / "release.pem").check()
