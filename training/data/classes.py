"""Which classes data sets have that are used together, and what a checkpoint remembers of them."""

from collections.abc import Sequence
from typing import Protocol

from traffic_signs.classes import GERMAN_SIGNS, ClassSet
from training.errors import DataError

SHOWN = 5  # names in a message


class Labelled(Protocol):
    """What has labels: a data set, or drawings."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    @property
    def classes(self) -> ClassSet:
        """What its class ids mean."""


def common_classes(sources: Sequence[Labelled]) -> ClassSet:
    """Returns the classes of data sets that are used together.

    Raises:
        DataError: they do not have the same classes in the same order.
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
    """Returns what a checkpoint remembers of classes other than the German signs: each one's category, a line each."""
    if classes == GERMAN_SIGNS:
        return {}
    return {"categories": "\n".join(classes.category_names[category] for category in classes.categories)}


def _some(classes: ClassSet) -> str:
    more = len(classes) - SHOWN
    return ", ".join(classes.names[:SHOWN]) + (f" and {more} others" if more > 0 else "")
