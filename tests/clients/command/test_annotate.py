"""Copies with the signs drawn in: legible, and never in the place of another file."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clients.prediction.annotate import COLOR, INK, Copies, annotate
from traffic_sign_client import Sign
from traffic_signs.pictures import Picture


def sign(*box: float, name: str = "no overtaking by lorries") -> Sign:
    left, top, right, bottom = box
    return Sign((left, top, right, bottom), 0.9, "prohibitory", 10, 0.987, name)


def changed(before: Image.Image, after: Image.Image) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    return np.asarray((np.asarray(before) != np.asarray(after)).any(axis=2))


GREY = Image.new("RGB", (1360, 800), (90, 90, 90))


def test_a_frame_is_around_the_sign_and_leaves_it_visible() -> None:
    drawn = changed(GREY, annotate(GREY, [sign(600, 300, 660, 360)]))
    assert not drawn[300:360, 600:660].any(), "the sign itself"
    assert drawn[298:300, 598:662].all() and drawn[360:362, 598:662].all(), "a line of 2 pixels around it"


def test_the_photograph_itself_is_not_drawn_on() -> None:
    picture = GREY.copy()
    annotate(picture, [sign(600, 300, 660, 360)])
    assert not changed(GREY, picture).any()


def test_without_signs_nothing_is_drawn() -> None:
    assert not changed(GREY, annotate(GREY, [])).any()


@pytest.mark.parametrize("width", [340, 1360, 4000])
def test_letters_grow_with_the_picture(width: int) -> None:
    picture = Image.new("RGB", (width, width // 2), (90, 90, 90))
    middle = width // 4
    after = np.asarray(annotate(picture, [sign(middle, middle, middle + 30, middle + 30, name="stop")]))
    rows = np.nonzero((after.max(axis=2) < 60).any(axis=1))[0]  # ink, also where a thin letter is not all black
    assert rows.max() - rows.min() >= max(8, width / 110), "12 of 1360 pixels from the top of t to the foot of p"


@pytest.mark.parametrize("size", [(84, 117), (130, 900), (200, 5000), (300, 200)])
def test_a_name_fits_into_a_tall_or_small_picture(size: tuple[int, int]) -> None:
    after = np.asarray(annotate(Image.new("RGB", size, (90, 90, 90)), [sign(24, 60, 64, 100, name="roundabout")]))
    columns = np.nonzero((after.max(axis=2) < 60).any(axis=0))[0]
    assert columns.min() >= 2 and columns.max() < size[0] - 2, "the label's own yellow is beside the letters"


def labels(picture: Image.Image, signs: list[Sign]) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    """Returns which pixels belong to labels: yellow or black, and more than a line thick."""
    from PIL import ImageFilter

    after = np.asarray(annotate(picture, signs))
    label = (after == COLOR).all(axis=2) | (after == INK).all(axis=2)
    thick = Image.fromarray(label.astype(np.uint8) * 255).filter(ImageFilter.MinFilter(5))
    return np.asarray(thick) > 0


@pytest.mark.parametrize("box", [(0, 0, 30, 30), (1330, 0, 1360, 30), (0, 770, 30, 800), (1330, 770, 1360, 800)])
def test_a_sign_in_a_corner_has_a_whole_label(box: tuple[float, float, float, float]) -> None:
    in_the_middle = labels(GREY, [sign(600, 300, 630, 330)]).sum()
    assert labels(GREY, [sign(*box)]).sum() == pytest.approx(in_the_middle, rel=0.05)


def test_signs_above_each_other_keep_their_labels_apart_and_stay_visible() -> None:
    stacked = [sign(700, 300 + 24 * row, 722, 322 + 24 * row) for row in range(4)]
    alone = labels(GREY, stacked[:1]).sum()
    together = labels(GREY, stacked)
    assert together.sum() == pytest.approx(4 * alone, rel=0.02), "four labels that do not overlap"
    assert not together[300:394, 700:722].any(), "none over a sign"


def test_a_sign_as_large_as_the_picture_has_its_label_inside() -> None:
    assert labels(GREY, [sign(0, 0, 1360, 800)]).any()


def test_copies_of_the_same_name_do_not_meet_and_originals_stay(tmp_path: Path) -> None:
    originals = [tmp_path / "a" / "1.jpg", tmp_path / "b" / "1.jpg", tmp_path / "b" / "1.png"]
    for number, original in enumerate(originals):
        original.parent.mkdir(exist_ok=True)
        Image.new("RGB", (200, 100), (number, 0, 0)).save(original)
    before = [original.read_bytes() for original in originals]
    folder = tmp_path / "b"
    pictures = [Picture(str(each), each.read_bytes()) for each in originals]
    copies = [Copies(folder).add(each, []) for each in pictures]
    assert len(set(copies)) == 3 and not set(copies) & set(originals)
    assert [original.read_bytes() for original in originals] == before
    assert Copies(folder).add(pictures[0], []) == copies[0], "the same picture once more replaces its copy"
    assert len(list(folder.iterdir())) == 5, "two originals, three copies, nothing half-written"


def test_a_copy_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        """Stands in for a disk without space, which cannot be had here without rights to mount one."""
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    content = io.BytesIO()
    GREY.save(content, "JPEG")
    with pytest.raises(OSError, match="No space left"):
        Copies(tmp_path).add(Picture("x.jpg", content.getvalue()), [])
    assert not list(tmp_path.iterdir())
