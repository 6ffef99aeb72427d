"""The folder of feedback: entries are whole or not there, whatever ends the writer, and however many write."""

import asyncio
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from clients.gateway.feedback import ABANDONED_S, Feedback, Store, with_names
from clients.gateway.problems import ProblemError
from traffic_sign_client import SignClass
from traffic_sign_client.errors import ClientError

ROOT = Path(__file__).parents[3]
ENTRY = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
SIGN = {"box": [1, 2, 30.5, 40], "class_id": 1, "name": "Große Eule"}
CLASSES = [SignClass(0, "Fuchs", "Tier"), SignClass(1, "Große Eule")]
FEEDBACK = Feedback.model_validate({"signs": [SIGN], "comment": "ü"})
WRITER = """
import sys
from pathlib import Path
from clients.gateway.feedback import Feedback, Store
store = Store(Path(sys.argv[1]), 0)
print("ready", flush=True)
while True:
    store.add(bytes(1 << 20), "PNG", Feedback(signs=[]))
"""


def entries(folder: Path) -> list[Path]:
    """Returns the entries that a reader sees; fails where one is not whole."""
    found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in found:
        assert ENTRY.fullmatch(path.name)
        assert {each.name for each in path.iterdir()} == {"image.png", "feedback.json"}
        assert json.loads((path / "feedback.json").read_text())["id"] == path.name
        assert (path / "image.png").stat().st_size == 1 << 20
    return found


def start_writer(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(folder)]
    writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    return writer


def test_an_entry_has_the_picture_and_the_truth(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "feedback", 0)
    for form, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("PPM", "ppm"), ("BMP", "bmp")):
        name = store.add(b"the file", form, FEEDBACK, CLASSES)
        entry = tmp_path / "new" / "feedback" / name
        assert (entry / f"image.{suffix}").read_bytes() == b"the file"
        written = json.loads((entry / "feedback.json").read_text(encoding="utf-8"))
        assert written.pop("received")[:13].replace("-", "") == name[:11]
        assert written == {
            "schema": 2,
            "id": name,
            "signs": [{"box": [1.0, 2.0, 30.5, 40.0], "class_id": 1, "name": "Große Eule"}],
            "request_id": "",
            "answered": [],
            "models": {},
            "comment": "ü",
            "classes": [{"name": "Fuchs", "category": "Tier"}, {"name": "Große Eule", "category": ""}],
        }


def test_signs_get_the_names_of_their_classes() -> None:
    """An id alone says nothing of a model that has other classes."""
    unnamed = {key: value for key, value in SIGN.items() if key != "name"}
    assert with_names(Feedback.model_validate({"signs": [unnamed]}), CLASSES).signs == FEEDBACK.signs
    assert with_names(FEEDBACK, CLASSES) == FEEDBACK


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (CLASSES[:1], "the models have the classes 0 to 0"),
        ([CLASSES[1], CLASSES[0]], "is 'Fuchs' and not 'Große Eule'"),
    ],
)
def test_a_class_that_the_models_do_not_have_is_refused(classes: list[SignClass], words: str) -> None:
    with pytest.raises(ProblemError, match=words) as raised:
        with_names(FEEDBACK, classes)
    assert raised.value.kind.status == 422


def test_a_writer_that_is_killed_leaves_no_half_entry(tmp_path: Path) -> None:
    """Killed at different moments; what it left half done is invisible, and swept away when it is old."""
    for pause in (0.0, 0.003, 0.011, 0.027, 0.05):
        writer = start_writer(tmp_path)
        before = len(entries(tmp_path))
        while len(entries(tmp_path)) == before:
            time.sleep(0.01)
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert writer.stdout is not None
        writer.stdout.close()
        assert len(entries(tmp_path)) > before
    young, old = tmp_path / ".partial-young", tmp_path / ".partial-old"
    for path in (young, old):
        path.mkdir()
        (path / "image.png").write_bytes(b"half")
    os.utime(old, (time.time() - ABANDONED_S - 1,) * 2)
    Store(tmp_path, 0)
    assert young.exists() and not old.exists()
    entries(tmp_path)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path) for _ in range(2)]
    deadline = time.monotonic() + 60
    while len(entries(tmp_path)) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for writer in writers:
        writer.kill()
        writer.wait()
        assert writer.stdout is not None
        writer.stdout.close()
    entries(tmp_path)


def test_many_threads_write_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path, 0)
    threads = [threading.Thread(target=store.add, args=(bytes(1 << 20), "PNG", FEEDBACK)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entries(tmp_path)) == 16


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, 0)
    with pytest.raises(ProblemError, match="GIF cannot be stored"):
        store.add(b"x", "GIF", FEEDBACK)

    def fail(number: int) -> None:
        def no_sync(descriptor: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", no_sync)

    for number in (errno.ENOSPC, errno.EDQUOT):
        fail(number)
        with pytest.raises(ProblemError, match="disk for feedback is full") as raised:
            store.add(b"x", "PNG", FEEDBACK)
        assert raised.value.kind.status == 507
    fail(errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        store.add(b"x", "PNG", FEEDBACK)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ClientError, match="--feedback"):
        Store(tmp_path / "file", 0)


def test_a_picture_that_lies_on_its_side_is_measured_upright() -> None:
    from clients.gateway import pictures

    exif = Image.Exif()
    exif[0x0112] = 8
    for form in ("JPEG", "PNG", "WEBP"):
        buffer = io.BytesIO()
        Image.new("RGB", (40, 20)).save(buffer, form, exif=exif)
        assert asyncio.run(pictures.check(buffer.getvalue())) == (form, (20, 40))
        assert asyncio.run(pictures.size_of(buffer.getvalue())) == (20, 40)
    plain = io.BytesIO()
    Image.new("P", (40, 20)).save(plain, "PNG")
    assert asyncio.run(pictures.size_of(plain.getvalue())) == (40, 20)
