"""Checks that data sets have the same classes, and describes classes for checkpoints."""

from collections.abc import Sequence
from typing import Protocol

from traffic_signs.classes import GERMAN_SIGNS, ClassSet
from training.errors import DataError

SHOWN = 5  # names in a message


class Labelled(Protocol):
    """A source of labels: a data set or drawings."""

    @property
    def name(self) -> str:
        """Name for messages."""

    @property
    def classes(self) -> ClassSet:
        """The classes."""


def common_classes(sources: Sequence[Labelled]) -> ClassSet:
    """Returns the common classes of data sets.

    Raises:
        DataError: the data sets do not have the same classes in the same order.
    """
    first, *others = sources
    for other in others:
        if other.classes != first.classes:
            raise DataError(
                f"{first.name} has the classes {_some(first.classes)}, and {other.name} {_some(other.classes)}: use "
                "data sets together only where they have the same classes in the same order"
            )
    return first.classes


def class_facts(classes: ClassSet) -> dict[str, str]:
    """Returns facts for a checkpoint: the category of each class, one per line; empty for the German signs."""
    if classes == GERMAN_SIGNS:
        return {}
    return {"categories": "\n".join(classes.category_names[category] for category in classes.categories)}


def _some(classes: ClassSet) -> str:
    more = len(classes) - SHOWN
    return ", ".join(classes.names[:SHOWN]) + (f" and {more} others" if more > 0 else "")
