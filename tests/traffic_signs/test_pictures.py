"""What `signs predict` makes of the names it is given, and of videos."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from clients.prediction.annotate import Copies
from traffic_signs.errors import PictureError
from traffic_signs.pictures import count, find, read, read_camera
from traffic_signs.video import VideoCopy, frame_count, read_frames

ROOT = Path(__file__).parents[2]
RATE, HEIGHT, WIDTH = 20.0, 60, 100


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with pictures in it and below it, and what is no picture."""
    for name in ("b.JPG", "a.png", "deep/er/c.webp", "notes.txt", ".hidden.png", ".git/d.png", "drive.mp4"):
        path = tmp_path / "photographs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "photographs"


def names(folder: Path, *patterns: str) -> list[str]:
    found = find([folder / pattern for pattern in patterns])
    assert not any(each.problem for each in found)
    return [str(each.path.relative_to(folder)) for each in found]


def test_a_folder_means_its_pictures_sorted_and_nothing_hidden(folder: Path) -> None:
    assert names(folder, "") == ["a.png", "b.JPG", "deep/er/c.webp"]


def test_pictures_under_other_names_are_taken_and_those_of_other_formats_named(folder: Path) -> None:
    for name in ("d.jfif", "e.JPE", "f.heic", "g.TIFF"):
        (folder / name).write_bytes(b"x")
    found = find([folder])
    assert [each.path.name for each in found if not each.problem] == ["a.png", "b.JPG", "d.jfif", "e.JPE", "c.webp"]
    unread = {each.path.name: each.problem for each in found if each.problem}
    assert set(unread) == {"f.heic", "g.TIFF"} and all("convert it" in problem for problem in unread.values())


def test_linked_folders_are_looked_into(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "x.png").touch()
    (folder / "link").symlink_to(tmp_path / "more")
    (tmp_path / "more" / "back").symlink_to(folder)
    assert names(folder, "") == ["a.png", "b.JPG", "deep/er/c.webp", "link/x.png"]


def test_a_pattern_means_what_matches_it(folder: Path) -> None:
    assert names(folder, "*.png") == [".hidden.png", "a.png"]
    assert names(folder, "**/*.webp", "[ab].*") == ["deep/er/c.webp", "a.png", "b.JPG"]
    assert names(folder, "de*") == ["deep/er/c.webp"], "a folder that matches"


def test_patterns_are_relative_to_where_one_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [str(each.path) for each in find(["?.png", "deep/*/*"])] == ["a.png", "deep/er/c.webp"]


def test_a_name_with_the_signs_of_a_pattern_is_taken_as_it_is(folder: Path) -> None:
    (folder / "[1].png").write_bytes(b"x")
    assert names(folder, "[1].png") == ["[1].png"]


def test_what_is_not_there_is_reported_when_its_turn_comes(folder: Path) -> None:
    (folder / "empty").mkdir()
    found = find([folder / "nothing.png", folder / "a.png", folder / "*.bmp", folder / "a**b", folder / "empty"])
    pictures = list(read(found, None))
    assert [bool(picture.problem) for picture in pictures] == [True, False, True, True, True]
    assert pictures[1].content == b"a.png"
    assert pictures[0].problem == "it cannot be read: No such file or directory"
    assert pictures[2].problem == pictures[3].problem == "no file matches the pattern"
    assert pictures[4].problem.startswith("the folder holds no picture (.bmp, ")


def test_a_web_address_is_reported_as_one() -> None:
    (found,) = find(["https://example.com/street.jpg"])
    assert found.problem == "it is a web address: download the picture and give the file"


def test_pictures_are_read_only_when_asked_for(folder: Path) -> None:
    pictures = read(find([folder]), None)
    assert next(pictures).content == b"a.png"
    (folder / "b.JPG").unlink()
    assert "No such file" in next(pictures).problem


def frames(number: int) -> list[npt.NDArray[np.uint8]]:
    """Frames with a bar that moves, far enough from each other to survive the compression."""
    drawn = []
    for step in range(number):
        pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        pixels[:, 10 * step : 10 * step + 10] = (230, 20, 25)
        drawn.append(pixels)
    return drawn


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A video of five frames."""
    path = tmp_path / "drive.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (WIDTH, HEIGHT))
    for pixels in frames(5):
        writer.write(np.ascontiguousarray(pixels[..., ::-1]))
    writer.release()
    return path


def assert_alike(found: npt.NDArray[np.uint8], drawn: npt.NDArray[np.uint8]) -> None:
    assert found.shape == drawn.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - drawn).mean() < 6


def test_a_video_gives_its_frames_in_rgb(drive: Path) -> None:
    assert frame_count(drive) == 5
    found = list(read_frames(drive))
    assert [frame.number for frame in found] == [0, 1, 2, 3, 4]
    assert {frame.rate for frame in found} == {RATE}
    for frame, drawn in zip(found, frames(5), strict=True):
        assert_alike(frame.pixels, drawn)


def test_a_video_is_a_picture_for_each_frame_up_to_a_limit(drive: Path, folder: Path) -> None:
    found = find([drive, folder / "a.png", drive.with_name("no.avi")])
    assert count(found, None) == 6 and count(found, 2) == 3
    pictures = list(read(found, 2))
    assert [(picture.name, picture.frame) for picture in pictures] == [
        (str(drive), 0),
        (str(drive), 1),
        (str(folder / "a.png"), None),
        (str(drive.with_name("no.avi")), None),
    ]
    assert [picture.problem for picture in pictures] == ["", "", "", "it cannot be read: No such file or directory"]


def test_what_is_no_video_is_one_line(folder: Path) -> None:
    """In a process of its own, where OpenCV has not been loaded before its log level is set."""
    result = predict(folder / "drive.mp4")
    assert result.returncode == 1
    assert result.stderr == f"signs: {folder / 'drive.mp4'}: it is not a video that OpenCV can read\n"


def test_a_video_that_breaks_off_is_reported_after_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (WIDTH, HEIGHT))
    noise = np.random.default_rng(0)
    for _ in range(20):
        writer.write(noise.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    *pictures, last = read(find([path]), None)
    assert 5 < len(pictures) < 15 and not any(picture.problem for picture in pictures)
    assert last.problem == f"it breaks off after {len(pictures)} of 20 frames"
    assert len(list(read(find([path]), 3))) == 3, "who wants no more does not mind"


def test_a_camera_that_is_not_there_is_reported() -> None:
    with pytest.raises(PictureError, match="no such camera"):
        next(read_camera(99, None))


@pytest.fixture
def camera(drive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Camera 0, for which a video stands in: there is no camera where tests run."""
    capture = cv2.VideoCapture
    monkeypatch.setattr(
        cv2, "VideoCapture", lambda source, *rest: capture(str(drive) if source == 0 else source, *rest)
    )


@pytest.mark.usefixtures("camera")
def test_a_camera_gives_frames_until_there_are_enough() -> None:
    pictures = list(read_camera(0, 3))
    assert [(picture.name, picture.frame, picture.rate) for picture in pictures] == [
        ("camera 0", number, RATE) for number in range(3)
    ]
    assert len(list(read_camera(0, None))) == 5


@pytest.mark.usefixtures("camera")
def test_each_video_and_each_recording_of_a_camera_has_its_copy(drive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(drive.read_bytes())
    with Copies(tmp_path / "found") as copies:
        for picture in [*read(find([drive, other]), 3), *read_camera(0, 2)]:
            copies.add(picture, [])
    camera, first, second = sorted((tmp_path / "found").iterdir())
    assert camera.name.startswith("camera-0-20")
    assert first.name.startswith("drive-signs-") and second.name.startswith("other-signs-")
    assert [frame_count(path) for path in (camera, first, second)] == [2, 3, 3]


def test_a_video_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "copy.mp4"
    with VideoCopy(target) as copy:
        for pixels in frames(4):
            copy.add(pixels, RATE)
            assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["copy.mp4"]
    for frame, drawn in zip(read_frames(target), frames(4), strict=True):
        assert_alike(frame.pixels, drawn)
    with VideoCopy(tmp_path / "none.mp4"):
        pass
    assert not (tmp_path / "none.mp4").exists()


def test_a_video_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with (
        pytest.raises(PictureError, match=r"copy\.mp4 cannot be written"),
        VideoCopy(tmp_path / "no" / "copy.mp4") as copy,
    ):
        copy.add(frames(1)[0], RATE)


def test_without_opencv_the_extra_is_named(folder: Path) -> None:
    result = predict(folder / "drive.mp4", before="import sys; sys.modules['cv2'] = None")
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "pip install '.[video]'" in result.stderr


def predict(*arguments: object, before: str = "") -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-c",
        f"{before}\nfrom clients.command.main import main; main()",
        "predict",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
