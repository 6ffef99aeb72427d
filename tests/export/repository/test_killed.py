"""kill -9 at every step of publishing, promoting and pulling: readers find whole versions, the next writer succeeds.

A child does the work and kills itself with SIGKILL just before its n-th change of the disk, or its n-th request to
the store; n counts up until one comes through. Nothing in the code under test knows of it: the interpreter's own audit
events report each open for writing, rename, removal and new folder.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.repository import champion, promote, versions
from export.repository.policy import read_config, served
from export.repository.pull import pull
from export.repository.store import Store, open_store
from export.repository.verification import check_folder, verify
from tests.export.repository.samples import publish_once

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.chmod", "os.truncate", "fcntl.flock")

KILLER = f"""
import functools, os, signal, sys
from pathlib import Path
import botocore.session
import s3fs  # what is imported late is imported before counting, and once for all children
from aiobotocore.client import AioBaseClient
from export.repository import promote
from export.repository.policy import read_config
from export.repository.pull import pull
from tests.export.repository.samples import publish_once

read_config(b"", "")
# So are botocore's JSON descriptions of S3 read.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
botocore.session.get_session().create_client("s3", region_name="us-east-1")
how, others, kind = sys.argv[1:]
if kind == "mount":
    for module in ("export.repository.local", "export.repository.pull"):
        sys.modules[module].staging_parent = lambda root: None
left = None

def step():
    global left
    if left is not None:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def watch(event, arguments):
    writing = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR) and str(arguments[0])[:5] != "/dev/"
    if event in {CHANGES!r} or writing:
        step()

request = AioBaseClient._make_api_call

async def counted(self, name, parameters):
    step()
    return await request(self, name, parameters)

for place in sys.stdin:  # the test has prepared it
    place, number = place.split()
    child = os.fork()
    if child == 0:
        left = int(number)
        if "://" in place:
            AioBaseClient._make_api_call = counted
        else:
            sys.addaudithook(watch)
        code = 1
        try:
            if how == "publish":
                publish_once(place, b"new", batch=2)
            elif how == "promote":
                promote(place, "m", 2, "killed")
            else:
                pull(others, Path(place), {{"m": [2]}})
            code = 0
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Killer:
    """Has children do the work, each killed one step later than the one before, until one comes through."""

    def __init__(self, how: str, others: str, scratch: Path, mount: bool = False) -> None:
        self.step, self.finished = 0, False
        command = [sys.executable, "-c", KILLER, how, others, "mount" if mount else "folder"]
        environment = {**os.environ, "TMPDIR": str(scratch)}  # which the killed ones leave full
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def __enter__(self) -> "Killer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        self.stdin.close()
        self.stdout.close()

    def work(self, place: str) -> None:
        """Lets the next child work there."""
        self.step += 1
        self.stdin.write(f"{place} {self.step}\n")
        self.stdin.flush()
        code = int(self.stdout.readline())
        assert code in (0, -signal.SIGKILL)
        self.finished = code == 0


@pytest.mark.parametrize(
    "how",
    ["publish", "publish first", "promote", "pull", "pull first", "publish first in a mount", "pull first in a mount"],
)
def test_a_folder_is_whole_whenever_its_writer_is_killed(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount cannot be made here without rights: that nothing can be renamed into it from outside is put in."""
    others = tmp_path / "others"
    publish_once(others, b"old", batch=1)
    publish_once(others, b"new", batch=2)
    word, first, mount = how.split()[0], " first" in how, "mount" in how
    if mount:
        for module in ("export.repository.local", "export.repository.pull"):
            monkeypatch.setattr(f"{module}.staging_parent", lambda root: None)
    with Killer(word, str(others), tmp_path, mount) as killer:
        while not killer.finished:
            place = tmp_path / str(killer.step) / "place"
            if not first:
                prepare_folder(place, others, word)
            place.mkdir(parents=True, exist_ok=True)
            killer.work(str(place))
            if not mount or versions(place, "m"):  # in an empty mount its folder may come before the first version
                check_whole(place, word)
            carry_on(place, others, word)
    assert killer.step > 8, "there are more steps than that"


def prepare_folder(place: Path, others: Path, how: str) -> None:
    if how == "pull":
        place.parent.mkdir()
        pull(others, place, {"m": [1]})
    else:
        prepare(place, how)


def prepare(place: Path | Store, how: str) -> None:
    publish_once(place, b"old", batch=1)
    if how == "promote":
        publish_once(place, b"new", batch=2)
        promote(place, "m", 1, "first")


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


@pytest.mark.parametrize("how", ["publish", "promote"])
def test_a_bucket_is_whole_whenever_its_writer_is_killed(
    s3: Any, new_bucket: Callable[[], str], how: str, tmp_path: Path
) -> None:
    template = new_bucket()
    bucket = template.split("/")[2]
    prepare(open_store(template), how)
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    with Killer(how, "", tmp_path) as killer:
        while not killer.finished:
            place = f"s3://{bucket}/{killer.step}"
            for key in keys:
                copy = f"{killer.step}/{key.partition('/')[2]}"
                s3.copy_object(Bucket=bucket, Key=copy, CopySource=f"{bucket}/{key}")
            store = open_store(place)
            killer.work(place)
            present = versions(store, "m")
            assert present in ([[1], [1, 2]] if how == "publish" else [[1, 2]])
            for number in present:
                with store.folder("m", number) as folder:
                    assert not check_folder(folder, "m", number).problems
            config = read_config(store.read("m/config.pbtxt"), "")
            (number,) = served(config, present)
            assert config.max_batch_size == number
            if how == "publish":
                assert publish_once(store, b"new", batch=2).version > present[-1]
            else:
                promote(store, "m", 2, "again")
            assert not any(check.problems for check in verify(store))
            store.sweep("m", 0)
            unfinished = [path for path in store._find("m") if path.count("/") == 2]  # type: ignore[attr-defined]
            assert {int(path.split("/")[1]) for path in unfinished} == set(versions(store, "m"))
    assert killer.step > 8, "there are more requests than that"
