"""Tests of files in a folder or in a zip."""

import os
import struct
import zipfile
from pathlib import Path

import pytest

from tests.training.tiny_gtsdb import TinyGtsdb, zip_folder
from training.data.load import load_data
from training.data.source import FolderSource, ZipSource, open_source
from training.errors import DataError


def _damage(path: Path, needle: bytes) -> None:
    data = path.read_bytes()
    assert data.count(needle) == 1
    path.write_bytes(data.replace(needle, bytes(byte ^ 0xFF for byte in needle)))


def test_folder_and_zip_hold_the_same_names_and_bytes(gtsdb: TinyGtsdb) -> None:
    folder, archive = open_source(gtsdb.folder.parent), open_source(gtsdb.zip)
    inside = [name for name in folder.names() if name.startswith("FullIJCNN2013/")]

    assert archive.names() == inside
    assert len(inside) == 9
    for name in inside:
        assert archive.read(name) == folder.read(name) == (gtsdb.folder.parent / name).read_bytes()


def test_names_are_sorted_files_with_forward_slashes(tmp_path: Path) -> None:
    for name in ("b.txt", "a/c/d.txt", "a/b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()

    assert open_source(tmp_path).names() == ["a/b.txt", "a/c/d.txt", "b.txt"]


def test_empty_folder_has_no_names(tmp_path: Path) -> None:
    assert open_source(tmp_path).names() == []


def test_open_source_picks_by_what_lies_there(gtsdb: TinyGtsdb) -> None:
    assert isinstance(open_source(gtsdb.folder), FolderSource)
    assert isinstance(open_source(gtsdb.zip), ZipSource)


def test_missing_path_is_a_data_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data at .*nowhere\.zip: give a folder or a zip"):
        open_source(tmp_path / "nowhere.zip")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04" + bytes(40)])
def test_file_that_is_no_zip_is_a_data_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.zip"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"data\.zip is not a whole zip archive .*download it again"):
        open_source(path)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_truncated_zip_is_a_data_error(gtsdb: TinyGtsdb, kept: float) -> None:
    data = gtsdb.zip.read_bytes()
    gtsdb.zip.write_bytes(data[: int(len(data) * kept)])

    with pytest.raises(DataError, match=r"is not a whole zip archive .*download it again"):
        open_source(gtsdb.zip)


def test_stored_member_with_wrong_crc_is_a_data_error_that_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "good.txt").write_bytes(b"these bytes stay")
    (folder / "bad.txt").write_bytes(b"these bytes change")
    path = zip_folder(folder, zipfile.ZIP_STORED)
    _damage(path, b"these bytes change")
    source = open_source(path)

    assert source.read("data/good.txt") == b"these bytes stay"
    with pytest.raises(DataError, match=r"data\.zip: data/bad\.txt is damaged .*CRC.*download the archive again"):
        source.read("data/bad.txt")


def test_damaged_deflate_stream_is_a_data_error(gtsdb: TinyGtsdb) -> None:
    with zipfile.ZipFile(gtsdb.zip) as archive:
        member = archive.getinfo("FullIJCNN2013/gt.txt")
    data = bytearray(gtsdb.zip.read_bytes())
    start = member.header_offset + 30 + len(member.filename)
    data[start : start + member.compress_size] = b"\xff" * member.compress_size
    gtsdb.zip.write_bytes(data)

    with pytest.raises(DataError, match=r"FullIJCNN2013/gt\.txt is damaged"):
        open_source(gtsdb.zip).read("FullIJCNN2013/gt.txt")


def test_encrypted_member_is_a_data_error(gtsdb: TinyGtsdb) -> None:
    with zipfile.ZipFile(gtsdb.zip) as archive:
        start = archive.getinfo("FullIJCNN2013/gt.txt").header_offset
    data = bytearray(gtsdb.zip.read_bytes())
    central = data.index(b"FullIJCNN2013/gt.txt", data.index(b"PK\x01\x02")) - 46
    data[start + 6] |= 1
    data[central + 8] |= 1
    gtsdb.zip.write_bytes(data)

    with pytest.raises(DataError, match=r"gt\.txt is damaged .*password"):
        open_source(gtsdb.zip).read("FullIJCNN2013/gt.txt")


def test_zip_member_that_ends_early_is_a_data_error(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "last.txt").write_bytes(b"0123456789")
    path = zip_folder(folder, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    data[central + 20 : central + 28] = struct.pack("<II", 100_000, 100_000)  # compressed and real size
    path.write_bytes(data)

    with pytest.raises(DataError, match=r"last\.txt is damaged"):
        open_source(path).read("data/last.txt")


def test_zip_of_an_unknown_version_is_a_data_error(gtsdb: TinyGtsdb) -> None:
    data = bytearray(gtsdb.zip.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 250  # the version needed to extract the first member
    gtsdb.zip.write_bytes(data)

    with pytest.raises(DataError, match=r"FullIJCNN2013\.zip"):
        open_source(gtsdb.zip)


@pytest.mark.parametrize("root", ["folder", "zip"])
def test_reading_a_name_that_is_not_there_is_a_data_error(gtsdb: TinyGtsdb, root: str) -> None:
    source = open_source(getattr(gtsdb, root))

    with pytest.raises(DataError, match=r"99999\.jpg"):
        source.read("FullIJCNN2013/99999.jpg")


def test_file_that_vanished_is_a_data_error_that_names_it(gtsdb: TinyGtsdb) -> None:
    source = open_source(gtsdb.folder)
    (gtsdb.folder / "00000.jpg").unlink()

    with pytest.raises(DataError, match=r"00000\.jpg cannot be read \(No such file"):
        source.read("00000.jpg")


def test_path_too_long_for_the_file_system_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        open_source(tmp_path / ("a" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_file_without_read_permission_is_a_data_error(gtsdb: TinyGtsdb) -> None:
    gtsdb.zip.chmod(0)
    (gtsdb.folder / "gt.txt").chmod(0)

    with pytest.raises(DataError, match="Permission denied"):
        open_source(gtsdb.zip)
    with pytest.raises(DataError, match="Permission denied"):
        open_source(gtsdb.folder).read("gt.txt")


def test_a_zip_of_windows_has_slashes(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    with zipfile.ZipFile(gtsdb.zip) as good, zipfile.ZipFile(tmp_path / "windows.zip", "w") as bad:
        for name in good.namelist():
            member = zipfile.ZipInfo("x")
            member.filename = name.replace("/", "\\")
            bad.writestr(member, good.read(name))
    assert b"FullIJCNN2013\\gt.txt" in (tmp_path / "windows.zip").read_bytes()
    source = open_source(tmp_path / "windows.zip")
    assert source.names() == open_source(gtsdb.zip).names()
    assert source.read("FullIJCNN2013/gt.txt") == open_source(gtsdb.zip).read("FullIJCNN2013/gt.txt")
    assert len(load_data(str(tmp_path / "windows.zip")).samples) == len(load_data(str(gtsdb.zip)).samples)


@pytest.mark.parametrize("spec", ["{}", "gtsdb={}", "gtsrb={}"])
def test_an_archive_inside_is_named(spec: str, gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(gtsdb.zip, "inner/FullIJCNN2013.zip")
    with pytest.raises(DataError, match=r"the archive inner/FullIJCNN2013\.zip: unpack that"):
        load_data(spec.format(tmp_path / "outer.zip"))
