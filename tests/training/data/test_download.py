"""Tests of the download of one file, against a real server on this machine."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.training.data.file_server import FileServer, running_file_server
from traffic_signs.progress import silent
from training.data import download as download_module
from training.data.download import CHUNK, download, require_web_address
from training.errors import DataError

SIZE = 5 * CHUNK + 123
OLD = bytes(range(256)) * (SIZE // 256) + bytes(SIZE % 256)
NEW = bytes(reversed(OLD))
FIRST_CUT = 2 * CHUNK + 77


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server that has `file.zip`; retries do not wait."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download_module, "RETRY_DELAYS", (0.0, 0.0, 0.0))
    with running_file_server() as state:
        state.files["file.zip"] = OLD
        state.headers["ETag"] = '"old"'
        yield state


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "file.zip"


def accept(path: Path) -> None:
    """Has nothing against any file."""


def get(server: FileServer, target: Path, check: Callable[[Path], None] = accept) -> None:
    download(f"{server.address}/file.zip", target, check, silent)


def partial(target: Path) -> Path:
    return target.with_name("file.zip.partial")


def interrupt_after(server: FileServer, target: Path, size: int) -> None:
    """Downloads until `size` bytes have come and no retry helps."""
    server.cuts = [size]
    server.statuses = [200, 503, 503, 503, 503]
    with pytest.raises(DataError):
        get(server, target)
    assert partial(target).read_bytes() == server.files["file.zip"][:size]
    assert not target.exists()
    server.requests.clear()
    server.statuses.clear()


def test_whole_file_comes_and_nothing_else_stays(server: FileServer, target: Path) -> None:
    shown: list[tuple[str, int, int]] = []

    download(f"{server.address}/file.zip", target, accept, lambda *counts: shown.append(counts))

    assert target.read_bytes() == OLD
    assert [file.name for file in target.parent.iterdir()] == ["file.zip"]
    assert server.requests == [(None, None)]
    assert shown[-1] == ("downloading file.zip (MB)", 1, 1)


def test_broken_connection_continues_with_the_rest(server: FileServer, target: Path) -> None:
    server.cuts = [FIRST_CUT, CHUNK]

    get(server, target)

    assert target.read_bytes() == OLD
    assert server.requests == [
        (None, None),
        (f"bytes={FIRST_CUT}-", '"old"'),
        (f"bytes={FIRST_CUT + CHUNK}-", '"old"'),
    ]


def test_connection_that_often_breaks_is_tried_while_it_gets_further(server: FileServer, target: Path) -> None:
    server.cuts = [CHUNK // 2] * 10

    get(server, target)

    assert target.read_bytes() == OLD
    assert len(server.requests) == 11


def test_later_call_continues_with_the_rest(server: FileServer, target: Path) -> None:
    interrupt_after(server, target, FIRST_CUT)

    get(server, target)

    assert target.read_bytes() == OLD
    assert server.requests == [(f"bytes={FIRST_CUT}-", '"old"')]
    assert [file.name for file in target.parent.iterdir()] == ["file.zip"]


class Versions(NamedTuple):
    before: dict[str, str]
    after: dict[str, str]
    if_range: str | None


DATE, LATER = "Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT"
VERSIONS = {
    "etag": Versions({"ETag": '"old"'}, {"ETag": '"new"'}, '"old"'),
    "date": Versions({"Last-Modified": DATE}, {"Last-Modified": LATER}, DATE),
    "weak etag": Versions({"ETag": 'W/"a"', "Last-Modified": DATE}, {"ETag": 'W/"a"', "Last-Modified": LATER}, DATE),
}


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("versions", VERSIONS.values(), ids=list(VERSIONS))
def test_file_that_changed_in_between_is_read_from_the_start(
    server: FileServer, target: Path, versions: Versions, heeds_if_range: bool
) -> None:
    server.headers = dict(versions.before)
    server.heeds_if_range = heeds_if_range
    interrupt_after(server, target, FIRST_CUT)
    server.headers = dict(versions.after)
    server.files["file.zip"] = NEW

    get(server, target)

    assert target.read_bytes() == NEW
    assert server.requests[0] == (f"bytes={FIRST_CUT}-", versions.if_range)
    assert len(server.requests) == (1 if heeds_if_range else 2)


def test_without_any_version_a_file_of_another_length_is_read_from_the_start(server: FileServer, target: Path) -> None:
    server.headers = {}
    interrupt_after(server, target, FIRST_CUT)
    server.files["file.zip"] = NEW + b"more"

    get(server, target)

    assert target.read_bytes() == NEW + b"more"
    assert server.requests == [(f"bytes={FIRST_CUT}-", None), (None, None)]


def test_server_without_range_is_read_from_the_start(server: FileServer, target: Path) -> None:
    server.ranges = False
    server.cuts = [FIRST_CUT]

    get(server, target)

    assert target.read_bytes() == OLD
    assert server.requests == [(None, None), (f"bytes={FIRST_CUT}-", '"old"')]


def test_server_without_range_that_always_breaks_at_one_place_is_given_up(server: FileServer, target: Path) -> None:
    server.ranges = False
    server.cuts = [FIRST_CUT] * 20

    with pytest.raises(DataError, match=rf"the connection ended after {FIRST_CUT} of {SIZE} bytes"):
        get(server, target)
    assert len(server.requests) == 4  # no retry got further than the first request


def test_partial_file_of_unknown_version_is_not_trusted(server: FileServer, target: Path) -> None:
    partial(target).write_bytes(b"something else")

    get(server, target)

    assert target.read_bytes() == OLD
    assert server.requests == [(None, None)]


def test_file_that_shrank_is_read_from_the_start(server: FileServer, target: Path) -> None:
    interrupt_after(server, target, FIRST_CUT)
    server.files["file.zip"] = OLD[:CHUNK]  # the answer is 416

    get(server, target)

    assert target.read_bytes() == OLD[:CHUNK]
    assert server.requests == [(f"bytes={FIRST_CUT}-", '"old"'), (None, None)]


def test_stopped_before_the_check_needs_no_request(server: FileServer, target: Path) -> None:
    def stop(path: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, target, stop)
    assert not target.exists()
    server.requests.clear()

    get(server, target)

    assert target.read_bytes() == OLD
    assert server.requests == []


def test_interruption_keeps_what_has_come(server: FileServer, target: Path) -> None:
    counts = []

    def interrupt(what: str, done: int, total: int) -> None:
        counts.append(done)
        if len(counts) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(f"{server.address}/file.zip", target, accept, interrupt)
    assert partial(target).read_bytes() == OLD[: 3 * CHUNK]
    assert not target.exists()

    get(server, target)

    assert target.read_bytes() == OLD
    assert server.requests[1] == (f"bytes={3 * CHUNK}-", '"old"')


def test_refused_file_is_removed_and_its_address_reported(server: FileServer, target: Path) -> None:
    def refuse(path: Path) -> None:
        assert path.read_bytes() == OLD and path != target
        raise DataError("its MD5 sum is wrong")

    with pytest.raises(DataError, match=rf"{server.address}/file.zip is not the right file \(its MD5 sum is wrong\)"):
        get(server, target, refuse)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("status", [404, 403, 416])
def test_refusal_is_reported_at_once_and_leaves_nothing(server: FileServer, target: Path, status: int) -> None:
    server.statuses = [status]

    with pytest.raises(DataError, match=f"the server answers {status} .*give a mirror as --from"):
        get(server, target)
    assert len(server.requests) == 1
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_failure_is_tried_again(server: FileServer, target: Path, status: int) -> None:
    server.statuses = [status, status]

    get(server, target)

    assert target.read_bytes() == OLD
    assert len(server.requests) == 3


def test_lasting_failure_is_reported(server: FileServer, target: Path) -> None:
    server.statuses = [500] * 10

    with pytest.raises(DataError, match=r"the server answers 500 .*run the same command again"):
        get(server, target)
    assert len(server.requests) == 4


def test_retries_wait_longer_each_time(server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sleep is replaced: what is waited for is the claim, and a test should not wait for it."""
    waited: list[float] = []
    monkeypatch.setattr(download_module, "RETRY_DELAYS", (1.0, 3.0, 9.0))
    monkeypatch.setattr(time, "sleep", waited.append)
    server.statuses = [500] * 10

    with pytest.raises(DataError):
        get(server, target)
    assert waited == [1.0, 3.0, 9.0]


def test_server_that_is_not_there_is_reported(server: FileServer, target: Path) -> None:
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:1/file\.zip cannot be fetched .*refused"):
        download("http://127.0.0.1:1/file.zip", target, accept, silent)


def test_full_disk_is_reported_before_anything_is_written(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figure of free space is replaced: a disk cannot be filled for a test."""
    usage = shutil.disk_usage(target.parent)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    with pytest.raises(DataError, match=r"needs 0\.33 MB and .* has 0\.10 MB left: free some space"):
        get(server, target)
    assert list(target.parent.iterdir()) == []


def test_only_the_rest_must_fit_on_the_disk(server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figure of free space is replaced: a disk cannot be filled for a test."""
    interrupt_after(server, target, FIRST_CUT)
    usage = shutil.disk_usage(target.parent)._replace(free=SIZE - FIRST_CUT)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    get(server, target)

    assert target.read_bytes() == OLD


def test_answer_without_a_length_is_refused(server: FileServer, target: Path) -> None:
    server.headers["Content-Length"] = ""

    with pytest.raises(DataError, match="length unknown"):
        get(server, target)


def test_redirect_to_another_web_address_is_followed(server: FileServer, target: Path) -> None:
    with running_file_server() as front:
        front.redirect = f"{server.address}/file.zip"
        get(front, target)
    assert target.read_bytes() == OLD


def test_redirect_in_a_circle_is_one_line(server: FileServer, target: Path) -> None:
    server.redirect = f"{server.address}/file.zip"

    with pytest.raises(DataError, match=r"\A[^\n]*302[^\n]* infinite loop[^\n]*\Z"):
        get(server, target)


@pytest.mark.parametrize("elsewhere", ["ftp://127.0.0.1/file.zip", "file:///etc/hostname"])
def test_redirect_away_from_the_web_is_refused(server: FileServer, target: Path, elsewhere: str) -> None:
    server.redirect = elsewhere

    with pytest.raises(DataError, match="cannot be fetched"):
        get(server, target)
    assert not target.exists()


@pytest.mark.parametrize(
    "address",
    ["", "file:///etc/passwd", "ftp://host/x", "gtsrb.zip", "https://", "http://host:port/x", "http://[::1/x"],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(DataError, match="is not a web address"):
        require_web_address(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/a b", "http://127.0.0.1:1/ü"])
def test_address_that_cannot_be_sent_is_reported(target: Path, address: str) -> None:
    with pytest.raises(DataError, match="is not a web address"):
        download(address, target, accept, silent)
