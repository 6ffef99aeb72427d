"""The record types that every reader produces and everything after it consumes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Box:
    """One labelled sign in an image, in pixels; `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    class_id: int


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
    """

    name: str
    samples: tuple[Sample, ...]
    read: Callable[[Sample], bytes]
    notices: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What kind of data set it is: "gtsdb" or "gtsrb", the first half of its name."""
        return self.name.partition("=")[0]

    def has_signs(self, split: Split) -> bool:
        """Returns whether a split has labelled signs."""
        return any(sample.boxes for sample in self.samples if sample.split == split)

    def split(self, split: Split) -> Sequence[Sample]:
        """Returns the samples of one split."""
        return [sample for sample in self.samples if sample.split == split]
