"""Buckets that are read-only, gone, or do not keep their word."""

import importlib
import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from export.errors import RepositoryError
from export.repository import load_manifest, promote, publish_copy, versions
from export.repository.bucket import BucketStore
from export.repository.listing import list_versions
from export.repository.pull import pull
from export.repository.store import open_store
from export.repository.verification import verify
from tests.export.repository.samples import publish_once, tree
from tests.fixture_types import Signs

NewRepository = Callable[[], str]


Enforce = Callable[[bool], None]


@pytest.fixture
def enforce(s3_endpoint: str) -> Iterator[Enforce]:
    """Has the S3 server check rights, or not; not when the test has ended."""

    def switch(on: bool) -> None:
        url, plain = f"{s3_endpoint}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        content = b"0" if on else b"inf"  # how many calls go unchecked
        urllib.request.urlopen(urllib.request.Request(url, content, plain, method="POST")).close()

    yield switch
    switch(False)


def test_a_bucket_that_may_only_be_read_is_named_and_stays_as_it_was(
    s3: Any, new_bucket: NewRepository, enforce: Enforce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = new_bucket()
    publish_once(place, b"1")
    publish_once(place, b"2")
    before = open_store(place).files("m", 1), versions(place, "m"), open_store(place).shared_files("m")
    iam = boto3.client("iam")
    iam.create_user(UserName="reader")
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    allowed = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    with monkeypatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        environment.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        enforce(True)
        for forbidden in (lambda: publish_once(place), lambda: promote(place, "m", 1, "")):
            with pytest.raises(RepositoryError, match=r"may not write .*check your credentials and the rights"):
                forbidden()
        assert [each.version for each in pull(place, tmp_path / "here", {"m": [1]})] == [1], "reading is enough here"
        environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(RepositoryError, match="check your credentials") as caught:
            versions(place, "m")
        assert "wrong" not in str(caught.value)
    enforce(False)
    after = open_store(place).files("m", 1), versions(place, "m"), open_store(place).shared_files("m")
    assert after == before


def test_a_bucket_that_is_gone_is_named(s3: Any, tmp_path: Path) -> None:
    place = "s3://signs-no-such-bucket/models"
    publish_once(tmp_path / "source")
    for attempt in (
        lambda: versions(place, "m"),
        lambda: list_versions(place),
        lambda: verify(place),
        lambda: publish_once(place),
        lambda: publish_copy(tmp_path / "source" / "m" / "1", place),
        lambda: promote(place, "m", 1, ""),
        lambda: pull(place, tmp_path / "here", {"m": [1]}),
    ):
        with pytest.raises(RepositoryError, match=r"signs-no-such-bucket.*check"):
            attempt()
    assert not (tmp_path / "here").exists()


def test_a_bucket_that_vanishes_while_pulling_leaves_the_destination_as_it_was(
    s3: Any, new_bucket: NewRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = new_bucket()
    publish_once(place)
    publish_once(place)
    here = tmp_path / "here"
    pull(place, here, {"m": [1]})
    before = tree(here)
    store = open_store(place)
    assert isinstance(store, BucketStore)
    real = store.fetch

    def empty_bucket_first(*arguments: Any) -> None:
        bucket = place.split("/")[2]
        for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=entry["Key"])
        real(*arguments)

    monkeypatch.setattr(store, "fetch", empty_bucket_first)
    with pytest.raises(RepositoryError, match=r"cannot pull|not there"):
        pull(store, here, {"m": [2]})
    assert tree(here) == before


def test_an_empty_bucket_holds_no_model(new_bucket: NewRepository) -> None:
    place = new_bucket()
    assert list_versions(place) == [] and versions(place, "m") == []


def test_a_store_that_overwrites_what_should_be_new_is_refused(
    new_bucket: NewRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server here keeps its word, so the condition is taken off on the way to it."""
    place = new_bucket()
    store = open_store(place)
    assert isinstance(store, BucketStore)
    real = store._files.pipe_file
    monkeypatch.setattr(store._files, "pipe_file", lambda key, content, mode="": real(key, content))
    with pytest.raises(RepositoryError, match="use a store with conditional writes"):
        publish_once(store)
    assert versions(place, "m") == []


def test_a_conflict_with_another_writer_is_tried_again(
    new_bucket: NewRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 may answer 409 while another writes the same key; the server here never does, so the answer is put in."""
    store = open_store(new_bucket())
    assert isinstance(store, BucketStore)
    real, calls = store._files.pipe_file, []

    def conflict_first(key: str, content: bytes, mode: str) -> None:
        calls.append(key)
        if len(calls) == 1:
            raise OSError(5, "conflict") from RuntimeError("(ConditionalRequestConflict) when calling PutObject")
        real(key, content, mode=mode)

    monkeypatch.setattr(store._files, "pipe_file", conflict_first)
    store.create("m/x", b"ours")
    assert len(calls) == 2 and store.read("m/x") == b"ours"


def test_an_upload_that_breaks_off_leaves_nothing(
    s3: Any, new_bucket: NewRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store gives back other bytes, which a real one must never do, so the answer is altered on the way."""
    place = new_bucket()
    store = open_store(place)
    assert isinstance(store, BucketStore)

    def other_bytes(path: str, target: Path, advance: Any) -> None:
        target.write_bytes(b"other")

    monkeypatch.setattr(store, "fetch", other_bytes)
    with pytest.raises(RepositoryError, match="gave back other bytes"):
        publish_once(store)
    found = s3.list_objects_v2(Bucket=place.split("/")[2])["Contents"]
    assert [entry["Key"] for entry in found] == ["models/m/claim-1"]


def test_a_full_disk_of_this_machine_is_not_reported_as_a_fault_of_the_store(new_bucket: NewRepository) -> None:
    place = new_bucket()
    publish_once(place)
    with pytest.raises(OSError, match="No space left on device"):
        open_store(place).fetch("m/1/model.onnx", Path("/dev/full"), lambda piece: None)


def test_an_answer_that_was_lost_on_the_way_is_no_conflict(new_bucket: NewRepository) -> None:
    store = open_store(new_bucket())
    store.create("m/x", b"ours")
    store.create("m/x", b"ours")
    with pytest.raises(FileExistsError):
        store.create("m/x", b"theirs")
    assert store.read("m/x") == b"ours"


def test_a_large_file_goes_up_and_down_in_pieces(new_bucket: NewRepository, tmp_path: Path) -> None:
    place = new_bucket()
    seen: list[tuple[str, int, int]] = []
    source = tmp_path / "source"
    publish_once(source, bytes(3_000_000))
    publish_copy(source / "m" / "1", place, progress=lambda *reported: seen.append(reported))
    pull(place, tmp_path / "here", {"m": [1]}, progress=lambda *reported: seen.append(reported))
    for what in ("fetching m 1 (kB)", "uploading m 1 (kB)"):
        counts = [(done, total) for name, done, total in seen if name == what]
        assert counts and counts[-1][0] == counts[-1][1], "the bar ends full"


@pytest.mark.parametrize("where", ["ftp://host/x", "https://host/x", "file:///x", "s3://", "memory://x", "://"])
def test_an_address_of_another_kind_is_refused(where: str) -> None:
    with pytest.raises(RepositoryError, match="cannot be a repository: give a folder, s3://"):
        open_store(where)


@pytest.mark.parametrize(
    ("address", "module", "extra"), [("s3", "s3fs", "s3"), ("gs", "gcsfs", "gcs"), ("az", "adlfs", "azure")]
)
def test_without_its_library_the_extra_is_named(
    address: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    registry = importlib.import_module("fsspec.registry")  # the package hides it behind a mapping of the same name
    monkeypatch.delitem(registry._registry, address, raising=False)
    with pytest.raises(RepositoryError, match=rf"'\.\[{extra}\]"):
        open_store(f"{address}://bucket/models")


def test_a_manifest_is_what_makes_a_version(new_bucket: NewRepository) -> None:
    place = new_bucket()
    store = open_store(place)
    store.replace("m/1/model.onnx", b"x")
    assert versions(place, "m") == [] and store.models() == []
    assert publish_once(place).version == 2, "never into the files of another"
    assert load_manifest(place, "m", 2).version == 2


def test_an_export_goes_into_a_bucket_and_what_needs_a_folder_says_so(
    signs: Signs, checkpoint: Path, tmp_path: Path, new_bucket: NewRepository
) -> None:
    place = new_bucket()
    code, out, err = signs("export", "onnx", checkpoint, "--repository", place)
    assert code == 0, err
    assert f"published: {place}/sign_classifier/1\nnext: signs repository pull {place} FOLDER, then" in out
    assert versions(place, "sign_classifier") == [1] and not list(tmp_path.iterdir())
    code, out, _ = signs("export", "onnx", checkpoint, "--repository", place, "--if-new")
    assert (code, out) == (0, "published already: sign_classifier 1\n")
    for command in (
        ("recognizer", "--repository", place),
        ("parity", f"{place}/sign_classifier/1", "--checkpoint", checkpoint),
    ):
        code, _, err = signs("export", *command)
        assert code == 1 and f"signs: {place}" in err and "is in a bucket, and this takes a folder" in err
    code, _, err = signs("export", "onnx", checkpoint, "--repository", f"{place.removesuffix('/models')}-not/models")
    assert code == 1 and "check the name of the bucket" in err and "scenes" not in err
