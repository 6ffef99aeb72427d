"""Tests of the fetched benchmarks: real zips from a real server on this machine, read by the real readers.

The official server cannot be asked in a test: its addresses and sums are only looked at for slips of the pen.
"""

import fcntl
import hashlib
import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.file_server import FileServer, running_file_server
from tests.training.tiny_gtsdb import write_tiny_gtsdb
from training.data import download as download_module
from training.data.fetch import BENCHMARKS, Benchmark, fetch
from training.data.gtsdb import load_gtsdb
from training.data.gtsrb import load_gtsrb
from training.errors import DataError

HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2"
TRAIN_ZIP, TEST_ZIP, LABELS_ZIP = BENCHMARKS["gtsrb"].archives


def zip_bytes(members: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def picture(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 30, 3), shade, np.uint8)).save(buffer, "PPM")
    return buffer.getvalue()


def tiny_gtsrb_zips() -> dict[str, bytes]:
    """Returns GTSRB's three archives with four training and two test images, in the official layout."""
    train: dict[str, bytes | str] = {"GTSRB/Readme-Images.txt": "about"}
    for class_id in (0, 14):
        folder = f"GTSRB/Final_Training/Images/{class_id:05d}"
        names = [f"00000_{frame:05d}.ppm" for frame in range(2)]
        train |= {f"{folder}/{name}": picture(50 + class_id) for name in names}
        lines = [f"{name};30;40;5;6;24;33;{class_id}\n" for name in names]
        train[f"{folder}/GT-{class_id:05d}.csv"] = f"{HEADER};ClassId\n{''.join(lines)}"
    test: dict[str, bytes | str] = {"GTSRB/Readme-Images-Final-test.txt": "about"}
    for number in range(2):
        test[f"GTSRB/Final_Test/Images/{number:05d}.ppm"] = picture(90)
    lines = [f"{number:05d}.ppm;30;40;5;6;24;33" for number in range(2)]
    test["GTSRB/Final_Test/Images/GT-final_test.test.csv"] = "\n".join([HEADER, *lines])
    labels = "\n".join([f"{HEADER};ClassId", *(f"{line};14" for line in lines)])
    return {
        TRAIN_ZIP: zip_bytes(train),
        TEST_ZIP: zip_bytes(test),
        LABELS_ZIP: zip_bytes({"GT-final_test.csv": labels}),
    }


def with_sums_of(benchmark: Benchmark, files: dict[str, bytes]) -> Benchmark:
    """Returns the benchmark with the MD5 sums of the files that the test's server has."""
    return replace(benchmark, archives={name: hashlib.md5(files[name]).hexdigest() for name in benchmark.archives})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download_module, "RETRY_DELAYS", (0.0, 0.0, 0.0))
    with running_file_server() as state:
        state.headers["ETag"] = '"1"'
        yield state


@pytest.fixture
def gtsrb(server: FileServer) -> Benchmark:
    """GTSRB with six images, of which two are for the test."""
    server.files |= tiny_gtsrb_zips()
    benchmark = replace(BENCHMARKS["gtsrb"], address=server.address, counts={"train": (4, 4), "test": (2, 2)})
    return with_sums_of(benchmark, server.files)


@pytest.fixture
def gtsdb(server: FileServer, tmp_path: Path) -> Benchmark:
    """GTSDB with seven scenes, of which two are for the test."""
    source = tmp_path / "source"
    source.mkdir()
    server.files["FullIJCNN2013.zip"] = write_tiny_gtsdb(source).zip.read_bytes()
    return replace(BENCHMARKS["gtsdb"], address=server.address, counts={"train": (5, 8), "test": (2, 3)})


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "data" / "here"


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_official_addresses_sums_and_terms_are_complete() -> None:
    for benchmark in BENCHMARKS.values():
        assert re.fullmatch(r"https://sid\.erda\.dk/public/archives/[0-9a-f]{32}", benchmark.address)
        assert "Ruhr-Universität Bochum" in benchmark.credit and "doi 10." in benchmark.credit
    for md5 in BENCHMARKS["gtsrb"].archives.values():
        assert re.fullmatch("[0-9a-f]{32}", md5 or "")


def test_gtsdb_stays_one_zip_that_its_reader_reads(gtsdb: Benchmark, server: FileServer, to: Path) -> None:
    fetched = fetch(gtsdb, to)

    assert fetched.path == to / "FullIJCNN2013.zip"
    assert (fetched.files, fetched.bytes) == (1, len(server.files["FullIJCNN2013.zip"]))
    assert names_in(to) == ["FullIJCNN2013.zip"]
    assert len(load_gtsdb(fetched.path).samples) == 7


def test_gtsrb_becomes_one_data_set_with_both_splits(gtsrb: Benchmark, server: FileServer, to: Path) -> None:
    fetched = fetch(gtsrb, to)

    assert fetched.path == to / "GTSRB"
    assert (fetched.files, fetched.bytes) == (3, sum(map(len, server.files.values())))
    assert names_in(to) == ["GTSRB"]
    assert (fetched.path / "Final_Test/Images/GT-final_test.csv").is_file()
    dataset = load_gtsrb(fetched.path)
    assert (len(dataset.split("train")), len(dataset.split("test"))) == (4, 2)
    assert [dataset.read(sample) for sample in dataset.split("test")] == [picture(90)] * 2
    assert {box.class_id for sample in dataset.split("test") for box in sample.boxes} == {14}


def test_archives_stay_where_they_are_to_be_kept(gtsrb: Benchmark, server: FileServer, to: Path) -> None:
    fetch(gtsrb, to, keep_archives=True)

    assert names_in(to) == sorted(["GTSRB", TRAIN_ZIP, TEST_ZIP, LABELS_ZIP])
    assert (to / TRAIN_ZIP).read_bytes() == server.files[TRAIN_ZIP]


@pytest.mark.parametrize("kind", ["gtsdb", "gtsrb"])
def test_second_call_fetches_nothing(kind: str, request: pytest.FixtureRequest, server: FileServer, to: Path) -> None:
    benchmark: Benchmark = request.getfixturevalue(kind)
    first = fetch(benchmark, to)
    server.requests.clear()

    second = fetch(benchmark, to)

    assert server.requests == []
    assert (second.path, second.files, second.bytes) == (first.path, 0, 0)


def test_archives_that_are_there_are_not_fetched_again(gtsrb: Benchmark, server: FileServer, to: Path) -> None:
    to.mkdir(parents=True)
    (to / TRAIN_ZIP).write_bytes(server.files.pop(TRAIN_ZIP))

    fetched = fetch(gtsrb, to)

    assert fetched.files == 2
    assert len(load_gtsrb(fetched.path).samples) == 6


def test_stopped_between_archives_continues_there(gtsrb: Benchmark, server: FileServer, to: Path) -> None:
    server.statuses = [200, 404]
    with pytest.raises(DataError, match=f"{TEST_ZIP} cannot be fetched .the server answers 404"):
        fetch(gtsrb, to)
    assert names_in(to) == [TRAIN_ZIP]

    assert fetch(gtsrb, to).files == 2


def test_broken_connection_continues_with_the_rest(gtsrb: Benchmark, server: FileServer, to: Path) -> None:
    server.cuts = [100]

    fetch(gtsrb, to)

    assert server.requests[:2] == [(None, None), ("bytes=100-", '"1"')]
    assert len(load_gtsrb(to / "GTSRB").samples) == 6


def test_mirror_is_asked_in_place_of_the_official_address(gtsdb: Benchmark, server: FileServer, to: Path) -> None:
    server.files["mirror/FullIJCNN2013.zip"] = server.files.pop("FullIJCNN2013.zip")

    fetch(gtsdb, to, mirror=f"{server.address}/mirror/")

    assert names_in(to) == ["FullIJCNN2013.zip"]


def test_mirror_that_is_no_web_address_makes_no_folder(gtsdb: Benchmark, to: Path) -> None:
    with pytest.raises(DataError, match="is not a web address"):
        fetch(gtsdb, to, mirror="/mnt/mirror")
    assert not to.exists()


def test_wrong_sum_removes_the_file(gtsrb: Benchmark, server: FileServer, to: Path) -> None:
    server.files[TRAIN_ZIP] = server.files[TEST_ZIP]

    with pytest.raises(DataError, match=rf"{TRAIN_ZIP} is not the right file \(its MD5 sum is .*\): removed"):
        fetch(gtsrb, to)
    assert names_in(to) == []


def test_zip_with_a_damaged_member_is_removed(gtsdb: Benchmark, server: FileServer, to: Path) -> None:
    content = bytearray(server.files["FullIJCNN2013.zip"])
    content[len(content) // 2] ^= 255
    server.files["FullIJCNN2013.zip"] = bytes(content)

    with pytest.raises(DataError, match=r"is not the right file \(its member FullIJCNN2013/.* is damaged\): removed"):
        fetch(gtsdb, to)
    assert names_in(to) == []


def test_page_in_place_of_a_zip_is_removed(gtsdb: Benchmark, server: FileServer, to: Path) -> None:
    server.files["FullIJCNN2013.zip"] = b"<html>Please log in</html>"

    with pytest.raises(DataError, match="it is not a complete zip archive"):
        fetch(gtsdb, to)
    assert names_in(to) == []


def test_zip_without_all_scenes_is_removed(gtsdb: Benchmark, to: Path) -> None:
    official = replace(gtsdb, counts=BENCHMARKS["gtsdb"].counts)

    with pytest.raises(DataError, match="its train split has 5 images with 8 signs, not 600 with 852"):
        fetch(official, to)
    assert names_in(to) == []


@pytest.mark.parametrize("member", ["../escaped.txt", "/tmp/escaped.txt", "GTSRB/../../escaped.txt", "..\\escaped.txt"])
def test_member_that_leads_out_of_the_folder_is_refused(
    gtsrb: Benchmark, server: FileServer, to: Path, member: str
) -> None:
    server.files[LABELS_ZIP] = zip_bytes({"GT-final_test.csv": "", member: "escaped"})

    with pytest.raises(DataError, match="has a member that leads out of its folder"):
        fetch(with_sums_of(gtsrb, server.files), to)
    assert names_in(to) == sorted([TRAIN_ZIP, TEST_ZIP, LABELS_ZIP])
    assert list(to.parents[1].rglob("*escaped*")) == []


def test_archives_that_do_not_make_the_benchmark_are_reported(gtsrb: Benchmark, server: FileServer, to: Path) -> None:
    server.files[LABELS_ZIP] = zip_bytes({"other.txt": "no labels"})

    with pytest.raises(DataError, match=r"do not make the whole benchmark .its test split has . images with 0 signs"):
        fetch(with_sums_of(gtsrb, server.files), to)
    assert names_in(to) == sorted([TRAIN_ZIP, TEST_ZIP, LABELS_ZIP])


def test_unpacking_needs_space(gtsrb: Benchmark, server: FileServer, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figure of free space is replaced: a disk cannot be filled for a test."""
    to.mkdir(parents=True)
    for name in gtsrb.archives:
        (to / name).write_bytes(server.files[name])
    usage = shutil.disk_usage(to)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    with pytest.raises(DataError, match=f"unpacking {TRAIN_ZIP} needs .* MB and .* has 0.01 MB left: free some space"):
        fetch(gtsrb, to)
    assert names_in(to) == sorted([TRAIN_ZIP, TEST_ZIP, LABELS_ZIP])


def test_interruption_while_unpacking_leaves_no_half_data_set(gtsrb: Benchmark, server: FileServer, to: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == f"unpacking {TEST_ZIP}":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(gtsrb, to, progress=interrupt)
    assert names_in(to) == sorted([TRAIN_ZIP, TEST_ZIP, LABELS_ZIP])
    server.requests.clear()

    assert len(load_gtsrb(fetch(gtsrb, to).path).samples) == 6
    assert server.requests == []


def test_leftover_of_a_killed_call_is_replaced(gtsrb: Benchmark, to: Path) -> None:
    leftover = to / ".staging-gtsrb" / "GTSRB" / "Final_Training" / "Images" / "00000"
    leftover.mkdir(parents=True)
    (leftover / "99999_00000.ppm").write_bytes(b"old")
    (to / ".fetch.lock").touch()

    fetch(gtsrb, to)

    assert names_in(to) == ["GTSRB"]
    assert not list(to.rglob("99999_00000.ppm"))


@pytest.mark.parametrize("kind", ["gtsdb", "gtsrb"])
def test_what_is_there_and_not_whole_is_reported_and_left(
    kind: str, request: pytest.FixtureRequest, server: FileServer, to: Path
) -> None:
    benchmark: Benchmark = request.getfixturevalue(kind)
    path = fetch(benchmark, to).path
    if path.is_dir():
        (path / "Final_Test/Images/00001.ppm").unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100])
    server.requests.clear()

    with pytest.raises(DataError, match=f"{path} is there already, but is not whole .*: remove it"):
        fetch(benchmark, to)
    assert path.exists()
    assert server.requests == []


def test_damaged_archive_that_is_there_is_reported_and_left(gtsrb: Benchmark, to: Path) -> None:
    to.mkdir(parents=True)
    (to / TEST_ZIP).write_bytes(b"mine")

    with pytest.raises(DataError, match=f"{TEST_ZIP} is there already, but is not whole .its MD5 sum"):
        fetch(gtsrb, to)
    assert (to / TEST_ZIP).read_bytes() == b"mine"


def test_another_call_in_the_same_folder_is_refused(gtsdb: Benchmark, server: FileServer, to: Path) -> None:
    to.mkdir(parents=True)
    with (to / ".fetch.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another call is fetching into"):
            fetch(gtsdb, to)
        assert server.requests == []

    assert fetch(gtsdb, to).files == 1
