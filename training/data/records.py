"""The record types that every reader produces and everything after it consumes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from traffic_signs.classes import GERMAN_SIGNS, ClassSet

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

FEEDBACK = "feedback"  # the kind of data set that people's corrections are
SCENE_KINDS = ("gtsdb", "coco", "yolo", FEEDBACK)  # kinds whose images are whole photographs
MOST_TOLD = 5  # of what was left out, so many are told one by one


@dataclass(frozen=True)
class Box:
    """One labelled sign in an image, in pixels; `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    class_id: int

    def fault(self, width: int, height: int) -> str | None:
        """Returns what is wrong with the box in an image of that size in pixels, or None."""
        if self.right <= self.left or self.bottom <= self.top:
            return f"the box of class {self.class_id} at {self.left},{self.top} has no area"
        if self.left < 0 or self.top < 0 or self.right > width or self.bottom > height:
            corners = f"{self.left},{self.top} to {self.right},{self.bottom}"
            where = f"the image of {width}x{height} pixels"
            return f"the box of class {self.class_id} from {corners} reaches outside {where}"
        return None


@dataclass(frozen=True)
class Problem:
    """An image or entry that cannot be used as it is.

    Attributes:
        image: its path inside the data set.
        what: what is wrong with it.
    """

    image: str
    what: str


@dataclass(frozen=True)
class Sample:
    """One image and the signs in it.

    Attributes:
        image: path of the image inside its data set, with forward slashes.
        split: the benchmark's own split; a scene is known by its split and its name together.
        boxes: the signs; empty for a scene without any.
        track: which physical sign was filmed, where the data set says so. Splits never divide a track.
        labelled: whether the data say which signs are in the image. False is not the same as no signs: such an
            image has no boxes because nobody told, and must not count as an empty one.
    """

    image: str
    split: Split
    boxes: tuple[Box, ...]
    track: str | None = None
    labelled: bool = True


@dataclass(frozen=True)
class Dataset:
    """A data set as its reader found it.

    Attributes:
        name: what to call it in logs and reports: its kind, "=", and the name of its folder or zip.
        samples: every image, in the data set's own order.
        read: returns the encoded bytes of a sample's image.
        notices: what a person should know about this copy of the data, a sentence each.
        left_out: what the reader could not use and left out; only feedback is read that way.
        superseded: entries of feedback whose picture was corrected again later, so that they do not count.
        classes: what the class ids mean.
    """

    name: str
    samples: tuple[Sample, ...]
    read: Callable[[Sample], bytes]
    notices: tuple[str, ...] = ()
    left_out: tuple[Problem, ...] = ()
    superseded: tuple[str, ...] = ()
    classes: ClassSet = GERMAN_SIGNS

    @property
    def kind(self) -> str:
        """What kind of data set it is, the first half of its name: "gtsdb", "gtsrb", "coco", "feedback", ..."""
        return self.name.partition("=")[0]

    @property
    def has_scenes(self) -> bool:
        """Whether its images are whole photographs to find signs in, not signs cut out."""
        return self.kind in SCENE_KINDS

    def told(self) -> tuple[str, ...]:
        """Returns the notices, and what was left out: the first few one by one, and how many in all."""
        lines = [f"{problem.image} is left out: {problem.what}" for problem in self.left_out[:MOST_TOLD]]
        if self.left_out:
            lines.append(f"{len(self.left_out)} of its entries are left out; `signs data check` names each: mend them")
        return (*self.notices, *lines)

    def has_signs(self, split: Split) -> bool:
        """Returns whether a split has labelled signs."""
        return any(sample.boxes for sample in self.samples if sample.split == split)

    def split(self, split: Split) -> Sequence[Sample]:
        """Returns the samples of one split."""
        return [sample for sample in self.samples if sample.split == split]
