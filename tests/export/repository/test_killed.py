"""kill -9 at every step of publishing, promoting and pulling: readers find whole versions, the next writer goes on.

A child does the work and kills itself with SIGKILL just before its n-th change of the disk, or its n-th request to
the store; n counts up until it comes through. Nothing in the code under test knows of it: the interpreter's own audit
events tell of each open for writing, rename, removal and new folder.
"""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from export.repository import champion, load_manifest, promote, versions
from export.repository.policy import read_config, served
from export.repository.pull import pull
from export.repository.store import open_store
from export.repository.verification import check_folder, verify
from tests.export.repository.samples import publish_once, tree

ROOT = Path(__file__).parents[3]
CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.chmod", "os.truncate", "fcntl.flock")

KILLER = f"""
import os, signal, sys
from pathlib import Path
from export.repository import promote
from export.repository.policy import read_config
from export.repository.pull import pull
from tests.export.repository.samples import publish_once

read_config(b"", "")  # what is imported late is imported before counting
place, others, how = sys.argv[1:4]
left = None

def step():
    global left
    if left is not None:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def watch(event, arguments):
    if event in {CHANGES!r}:
        step()
    elif event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR) and str(arguments[0])[:5] != "/dev/":
        step()

def work():
    if how == "publish":
        publish_once(place, b"new", batch=2)
    elif how == "promote":
        promote(place, "m", 2, "killed")
    else:
        pull(others, Path(place), {{"m": [2]}})
"""

# One interpreter forks a child for each step: importing anew each time would take most of the test.
FOLDER = """
sys.addaudithook(watch)
for number in range(1, 400):
    os.system("true")  # nothing of ours; a child must not inherit half a buffer
    print(number, flush=True)
    sys.stdin.readline()  # the test has prepared the place
    child = os.fork()
    if child == 0:
        left = number
        try:
            work()
        finally:
            os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.parametrize("how", ["publish", "publish first", "promote", "pull", "pull first"])
def test_a_folder_is_whole_whenever_its_writer_is_killed(tmp_path: Path, how: str) -> None:
    others = tmp_path / "others"
    publish_once(others, b"old", batch=1)
    publish_once(others, b"new", batch=2)
    word, _, first = how.partition(" ")
    killed = 0
    with Killer(FOLDER, tmp_path / "place", others, word) as killer:
        while True:
            place = tmp_path / f"{killer.next()}" / "place"
            (tmp_path / "place").unlink(missing_ok=True)
            place.parent.mkdir()
            (tmp_path / "place").symlink_to(place, target_is_directory=True)
            if not first:
                if word == "pull":
                    pull(others, place, {"m": [1]})
                else:
                    publish_once(place, b"old", batch=1)
                if word == "promote":
                    publish_once(place, b"new", batch=2)
                    promote(place, "m", 1, "first")
            else:
                place.mkdir()
            code = killer.go()
            assert code in (0, -signal.SIGKILL)
            check_whole(place, word)
            carry_on(place, others, word)
            if code == 0:
                break
            killed += 1
    assert killed >= 8, "there are more steps than that"


class Killer:
    """The interpreter that forks the children."""

    def __init__(self, loop: str, place: Path | str, others: Path | str, how: str) -> None:
        command = [sys.executable, "-c", textwrap.dedent(KILLER) + loop, str(place), str(others), how]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def __enter__(self) -> "Killer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        self.stdin.close()
        self.stdout.close()

    def next(self) -> int:
        """Returns the step at which the next child will be killed."""
        return int(self.stdout.readline())

    def go(self) -> int:
        """Lets it work; returns how it ended, 0 where it came through."""
        self.stdin.write("\n")
        self.stdin.flush()
        return int(self.stdout.readline())


def check_whole(place: Path, how: str) -> None:
    """Checks what a server that starts now, and a reader, would find."""
    present = versions(place, "m")
    assert present in {"publish": ([], [1], [1, 2]), "promote": ([1, 2],), "pull": ([], [1], [2], [1, 2])}[how]
    for version in present:
        check = check_folder(place / "m" / str(version), "m", version)
        assert not check.problems and not check.extra
    if not (place / "m").exists():
        return
    config = read_config((place / "m" / "config.pbtxt").read_bytes(), "config.pbtxt")
    numbers = served(config, present)
    assert len(numbers) == 1, "exactly one version is served at any instant"
    content = (place / "m" / str(numbers[0]) / "model.onnx").read_bytes()
    expected = {b"old": 1, b"new": 2}[content]
    assert config.max_batch_size == expected, "a version is served with its own configuration"
    if how == "promote":
        assert champion(open_store(place), "m") in (1, 2)


def carry_on(place: Path, others: Path, how: str) -> None:
    """Does the same once more, without being killed; what the dead one left is not in the way and can be swept."""
    if how == "publish":
        before = versions(place, "m")
        number = publish_once(place, b"new", batch=2).version
        assert number > max(before, default=0)
    elif how == "promote":
        promote(place, "m", 2, "again")
        assert champion(open_store(place), "m") == 2
    else:
        pull(others, place, {"m": [2]})
    assert not any(check.problems for check in verify(place))
    assert read_config((place / "m" / "config.pbtxt").read_bytes(), "").max_batch_size == 2
    open_store(place).sweep("m", 0)
    left = list(place.parent.rglob(".staging-*"))
    assert left == []


BUCKET = """
from aiobotocore.client import AioBaseClient

real = AioBaseClient._make_api_call

async def counted(self, name, parameters):
    step()
    return await real(self, name, parameters)

AioBaseClient._make_api_call = counted
left = int(sys.argv[4])
work()
"""


@pytest.mark.parametrize("how", ["publish", "promote"])
def test_a_bucket_is_whole_whenever_its_writer_is_killed(new_bucket: Callable[[], str], how: str) -> None:
    source = textwrap.dedent(KILLER) + BUCKET
    for step in range(1, 100):
        place = new_bucket()
        publish_once(place, b"old", batch=1)
        if how == "promote":
            publish_once(place, b"new", batch=2)
            promote(place, "m", 1, "first")
        command = [sys.executable, "-c", source, place, place, how, str(step)]
        code = subprocess.run(command, cwd=ROOT, env=dict(os.environ)).returncode
        assert code in (0, -signal.SIGKILL)
        present = versions(place, "m")
        assert present in ([[1], [1, 2]] if how == "publish" else [[1, 2]])
        assert not any(check.problems for check in verify(place) if check.version is not None)
        store = open_store(place)
        config = read_config(store.read("m/config.pbtxt"), "")
        (number,) = served(config, present)
        assert config.max_batch_size == number
        assert load_manifest(place, "m", number).version == number
        if how == "publish":
            assert publish_once(place, b"new", batch=2).version > present[-1]
        else:
            promote(place, "m", 2, "again")
        assert not any(check.problems for check in verify(place))
        store.sweep("m", 0)
        assert {path.split("/")[0] for path in store.files("m", 2)} <= {
            "config.pbtxt",
            "labels.txt",
            "manifest.json",
            "model.onnx",
        }
        if code == 0:
            break
    assert step > 8, "there are more requests than that"
    assert code == 0


def test_tree_sees_files(tmp_path: Path) -> None:
    publish_once(tmp_path)
    assert "m/1/model.onnx" in tree(tmp_path)
