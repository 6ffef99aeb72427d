"""The record types that all readers of data sets return."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from traffic_signs.classes import GERMAN_SIGNS, ClassSet

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

DRAWN = "synthetic"  # the kind of drawn signs
FEEDBACK = "feedback"  # the kind of data set with users' corrections
SCENE_KINDS = ("gtsdb", "coco", "yolo", FEEDBACK)  # kinds whose images are whole photographs
MOST_LISTED = 5  # images or classes that a notice lists one by one


@dataclass(frozen=True)
class Box:
    """One labelled sign in an image, in pixels; `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    class_id: int

    def fault(self, width: int, height: int) -> str | None:
        """Returns the problem of the box in an image of this size in pixels; None if it is valid."""
        if self.right <= self.left or self.bottom <= self.top:
            return f"the box of class {self.class_id} at {self.left},{self.top} has no area"
        if self.left < 0 or self.top < 0 or self.right > width or self.bottom > height:
            corners = f"{self.left},{self.top} to {self.right},{self.bottom}"
            where = f"the image of {width}x{height} pixels"
            return f"the box of class {self.class_id} from {corners} reaches outside {where}"
        return None


@dataclass(frozen=True)
class Problem:
    """A problem of an image or an entry of feedback, by its path inside the data set."""

    image: str
    what: str


@dataclass(frozen=True)
class Sample:
    """One image and the signs in it."""

    image: str  # path inside its data set, with forward slashes
    split: Split  # that of the benchmark; two splits may have scenes with the same name
    boxes: tuple[Box, ...]  # of the signs; empty for a scene without signs
    track: str | None = None  # id of the physical sign, if the data set has tracks; splits never divide a track
    labelled: bool = True  # an unlabelled image has no boxes either, but may show signs


@dataclass(frozen=True)
class Dataset:
    """A data set."""

    name: str  # for logs and reports: its kind, "=", and the name of its folder or zip
    samples: tuple[Sample, ...]  # all images, in the order of the data set
    read: Callable[[Sample], bytes]  # returns the encoded bytes of a sample's image
    notices: tuple[str, ...] = ()  # about this copy of the data, a sentence each
    left_out: tuple[Problem, ...] = ()  # unusable entries of feedback; always empty for benchmarks
    superseded: tuple[str, ...] = ()  # entries of feedback whose picture has a later correction
    classes: ClassSet = GERMAN_SIGNS

    @property
    def kind(self) -> str:
        """The kind of data set, the first part of its name: "gtsdb", "gtsrb", "coco", "feedback", ..."""
        return self.name.partition("=")[0]

    @property
    def has_scenes(self) -> bool:
        """Whether its images are whole photographs, not crops of signs."""
        return self.kind in SCENE_KINDS

    def all_notices(self) -> tuple[str, ...]:
        """Returns the notices, the first entries that were left out, and the number of all of them."""
        lines = [f"{problem.image} is left out: {problem.what}" for problem in self.left_out[:MOST_LISTED]]
        if self.left_out:
            verb = "is" if len(self.left_out) == 1 else "are"
            lines.append(f"{len(self.left_out)} of its entries {verb} left out: fix what `signs data check` lists")
        return (*self.notices, *lines)

    def has_signs(self, split: Split) -> bool:
        """Returns whether a split has labelled signs."""
        return any(sample.boxes for sample in self.samples if sample.split == split)

    def split(self, split: Split) -> Sequence[Sample]:
        """Returns the samples of one split."""
        return [sample for sample in self.samples if sample.split == split]


@dataclass(frozen=True)
class Drawings:
    """A number of drawn signs, given as `synthetic=N`; used only for training."""

    count: int

    @property
    def name(self) -> str:
        """Name for logs and reports."""
        return f"{DRAWN}={self.count}"

    @property
    def classes(self) -> ClassSet:
        """The classes."""
        return GERMAN_SIGNS
