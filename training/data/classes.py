"""Checks that data sets have the same classes, and describes classes for checkpoints."""

from collections.abc import Sequence
from pathlib import Path

from traffic_signs.classes import GERMAN_SIGNS, ClassSet
from training.data.records import Dataset, Drawings
from training.errors import DataError

SHOWN = 5  # names in a message
UNKNOWN = "unknown"  # the recognizer's name of a sign with a low class score


def class_set(data: Path, names: Sequence[str], categories: Sequence[str] = ()) -> ClassSet:
    """Returns the classes that a data set names.

    Args:
        data: where it is, for messages.
        names: of the classes, by id.
        categories: name of the category of each class; without any, each class is a category of its own.

    Raises:
        DataError: two classes have one name, by which feedback knows them, apart from spaces at its ends; a name is no
            line of text, which it becomes in the labels of a served version; or it is the answer for unknown signs.
    """
    bare = [name.strip() for name in names]
    doubled = next((name for number, name in enumerate(bare) if name in bare[:number]), None)
    if doubled is not None:
        raise DataError(
            f"{data} has two classes called {doubled!r}, perhaps with spaces before or after it: give each a name of "
            "its own"
        )
    if UNKNOWN in bare:
        raise DataError(
            f"{data} has a class called {UNKNOWN!r}, which is the recognizer's answer for signs that it cannot name: "
            "rename the class"
        )
    broken = next((name for name in (*names, *categories) if name.splitlines() != [name] or not name.strip()), None)
    if broken is not None:
        raise DataError(f"{data} has a class called {broken!r}: give it a name of one line")
    return ClassSet.of(names, categories)


def common_classes(sources: Sequence[Dataset | Drawings]) -> ClassSet:
    """Returns the classes of data sets; raises DataError if they are not the same in the same order."""
    first, *others = sources
    for other in others:
        if other.classes != first.classes:
            raise DataError(
                f"{first.name} has the classes {_some(first.classes)}, and {other.name} {_some(other.classes)}: use "
                "data sets together only if they have the same classes in the same order"
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
