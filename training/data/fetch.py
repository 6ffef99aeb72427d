"""Fetches the official archives of GTSDB and GTSRB from ERDA, the archive of the benchmarks' authors.

The official training data of GTSRB is `GTSRB_Final_Training_Images.zip` (39,209 images). `GTSRB-Training_fixed.zip`,
which torchvision downloads, is the smaller set of the 2011 online competition (26,640 images) and is not fetched. The
MD5 sums of GTSRB's archives are those that torchvision and other projects check. We found no published sum of
`FullIJCNN2013.zip`: the CRC of each member and the numbers of scenes and signs are checked instead, which detects
damage but not forgery.
"""

import fcntl
import hashlib
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from traffic_signs.progress import ProgressCallback, silent
from training.data.download import download, require_space, require_web_address
from training.data.load import LOADERS
from training.data.records import Split
from training.data.source import zip_members
from training.errors import DataError

BLOCK = 4096  # bytes; block size of most file systems
TEST_LABELS = "GT-final_test.csv"
TEST_IMAGES = "Final_Test/Images"
# Exceptions of zipfile for damaged or unsupported archives.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Benchmark:
    """The archives of a benchmark and its expected content."""

    kind: str  # name of its reader in training.data.load
    address: str  # URL of the folder with its archives
    archives: Mapping[str, str | None]  # published MD5 sum of each in hexadecimal, None if there is none, by file name
    folder: str | None  # folder to unpack into; None if the single zip is read directly
    counts: Mapping[Split, tuple[int, int]]  # numbers of images and signs of each split
    credit: str  # licence and citation


BENCHMARKS: dict[str, Benchmark] = {
    "gtsdb": Benchmark(
        kind="gtsdb",
        address="https://sid.erda.dk/public/archives/ff17dc924eba88d5d01a807357d6614c",
        archives={"FullIJCNN2013.zip": None},
        folder=None,
        counts={"train": (600, 852), "test": (300, 361)},
        credit=(
            "GTSDB, Institut für Neuroinformatik, Ruhr-Universität Bochum: free to use for any purpose (its "
            "ReadMe.txt). Please cite S. Houben et al., Detection of Traffic Signs in Real-World Images: The German "
            "Traffic Sign Detection Benchmark, IJCNN 2013, doi 10.1109/IJCNN.2013.6706807."
        ),
    ),
    "gtsrb": Benchmark(
        kind="gtsrb",
        address="https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370",
        archives={
            "GTSRB_Final_Training_Images.zip": "f33fd80ac59bff73c82d25ab499e03a3",
            "GTSRB_Final_Test_Images.zip": "c7e4e6327067d32654124b0fe9e82185",
            "GTSRB_Final_Test_GT.zip": "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
        },
        folder="GTSRB",
        counts={"train": (39_209, 39_209), "test": (12_630, 12_630)},
        credit=(
            "GTSRB, Institut für Neuroinformatik, Ruhr-Universität Bochum: free to use (its page). Please cite J. "
            "Stallkamp et al., Man vs. computer: Benchmarking machine learning algorithms for traffic sign "
            "recognition, Neural Networks 32, 2012, doi 10.1016/j.neunet.2012.02.016."
        ),
    ),
}


@dataclass(frozen=True)
class Fetched:
    """A benchmark on disk: the path for its reader, and the archives that were fetched in this call."""

    path: Path
    bytes: int
    files: int
    seconds: float


def fetch(
    benchmark: Benchmark, to: Path, mirror: str = "", keep_archives: bool = False, progress: ProgressCallback = silent
) -> Fetched:
    """Fetches a benchmark, checks it, and unpacks it if its reader needs a folder.

    Existing files are checked and kept. A download that an earlier call has started is resumed.

    Args:
        benchmark: one of BENCHMARKS.
        to: target folder; created if missing.
        mirror: URL of a folder with the archives under their official names; empty for the official one.
        keep_archives: keep the zips after unpacking.
        progress: receives megabytes, checked archives and unpacked files.

    Raises:
        DataError: an archive cannot be fetched or is not the right one, the disk has too little space, an existing
            file is incomplete, or another call is fetching into the same folder.
    """
    started = time.monotonic()
    address = mirror.rstrip("/") or benchmark.address
    require_web_address(address)
    path = to / (benchmark.folder or next(iter(benchmark.archives)))
    if path.exists():
        with _already_there(path):
            if benchmark.folder:
                _check_counts(path, benchmark)
            else:
                _check_archive(path, path.name, benchmark, progress)
        return Fetched(path, 0, 0, time.monotonic() - started)
    to.mkdir(parents=True, exist_ok=True)
    with _alone_in(to):
        sizes = [size for name in benchmark.archives if (size := _fetch(name, benchmark, address, to, progress))]
        if benchmark.folder:
            zips = [to / name for name in benchmark.archives]
            _unpack(zips, benchmark, to / benchmark.folder, progress)
            for file in [] if keep_archives else zips:
                file.unlink()
    return Fetched(path, sum(sizes), len(sizes), time.monotonic() - started)


def _fetch(name: str, benchmark: Benchmark, address: str, to: Path, progress: ProgressCallback) -> int:
    """Fetches an archive; returns its size in bytes, or 0 if it was there already."""
    file = to / name

    def check(path: Path) -> None:
        _check_archive(path, name, benchmark, progress)

    if file.exists():
        with _already_there(file):
            check(file)
        return 0
    download(f"{address}/{name}", file, check, progress)
    return file.stat().st_size


@contextmanager
def _already_there(path: Path) -> Iterator[None]:
    """Names in its errors a file of an earlier call or of the user, which is never removed automatically."""
    try:
        yield
    except DataError as problem:
        raise DataError(
            f"{path} is there already, but is not whole ({problem}): remove it and run the command again"
        ) from problem


def _check_archive(path: Path, name: str, benchmark: Benchmark, progress: ProgressCallback) -> None:
    what, md5 = f"checking {name}", benchmark.archives[name]
    progress(what, 0, 1)
    if md5 is None:
        _check_members(path)
    else:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != md5:
            raise DataError(f"its MD5 sum is {found}, not {md5}")
    if benchmark.folder is None:
        _check_counts(path, benchmark)
    progress(what, 1, 1)


def _check_members(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except ZIP_ERRORS as error:
        raise DataError(f"it is not a complete zip archive: {error}") from error
    if damaged is not None:
        raise DataError(f"its member {damaged} is damaged")


def _check_counts(path: Path, benchmark: Benchmark) -> None:
    """Compares the numbers of images and signs with the published ones."""
    dataset = LOADERS[benchmark.kind](path)
    for split, expected in benchmark.counts.items():
        samples = dataset.split(split)
        found = (len(samples), sum(len(sample.boxes) for sample in samples))
        if found != expected:
            raise DataError(
                f"its {split} split has {found[0]} images with {found[1]} signs, not {expected[0]} with {expected[1]}"
            )


def _unpack(zips: list[Path], benchmark: Benchmark, folder: Path, progress: ProgressCallback) -> None:
    """Unpacks all zips into `folder`, which appears in one rename when it is complete."""
    staging = folder.with_name(f".staging-{benchmark.kind}")
    shutil.rmtree(staging, ignore_errors=True)  # from a killed call
    try:
        staging.mkdir()
        for file in zips:
            _extract(file, staging, progress)
        root = staging / folder.name
        labels = staging / TEST_LABELS
        if labels.exists() and (root / TEST_IMAGES).is_dir():
            # This archive has the labels at its top; the reader finds them beside the images.
            labels.rename(root / TEST_IMAGES / TEST_LABELS)
        try:
            _check_counts(root, benchmark)
        except DataError as problem:
            raise DataError(
                f"the archives in {folder.parent} do not make the whole benchmark ({problem}): "
                "remove them and run the command again"
            ) from problem
        root.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extract(file: Path, folder: Path, progress: ProgressCallback) -> None:
    """Unpacks a zip into `folder`; raises DataError if it would write outside, is damaged, or the disk lacks space."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = zip_members(archive)
            for member in members:
                _require_inside(file, member.filename)
            require_space(folder, sum(member.file_size + BLOCK for member in members), f"unpacking {file.name}")
            for done, member in enumerate(members, start=1):
                archive.extract(member, folder)
                progress(f"unpacking {file.name}", done, len(members))
    except ZIP_ERRORS as error:
        raise DataError(f"{file} cannot be unpacked ({error}): remove it and run the command again") from error


def _require_inside(file: Path, member: str) -> None:
    # zipfile would drop the dots and write the member elsewhere; only a malicious archive has one.
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member:
        raise DataError(f"{file} has a member that leads out of its folder ({member!r}): do not use this archive")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Locks a folder against other calls; the lock of a killed call disappears with its process."""
    lock = folder / ".fetch.lock"
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"another call is fetching into {folder}: wait for it or give another --to") from error
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
