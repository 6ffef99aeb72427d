"""Reports an audit as tables on the terminal, as JSON and as plots."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median_low
from typing import Any

from rich.table import Table

from traffic_signs.console import Console
from traffic_signs.progress import ProgressCallback, silent
from training.data.audit import Audit, Comparison, DatasetFacts, Duplicate, SplitFacts
from training.data.audit_plots import draw_classes, draw_contact_sheet, draw_leakage, draw_sizes
from training.data.leakage import THRESHOLD
from training.data.records import Problem
from training.report import write_report

EXAMPLES = 10
RAREST = 6


def write_audit(folder: Path, audit: Audit, progress: ProgressCallback = silent) -> list[Path]:
    """Writes audit.json, contact_sheet.png, sizes.png, classes.png and, if there are repeats, leakage.png."""
    (folder / "leakage.png").unlink(missing_ok=True)
    pictures: dict[str, Callable[[Path], None]] = {
        "contact_sheet.png": partial(draw_contact_sheet, audit),
        "sizes.png": partial(draw_sizes, audit.data_sets),
        "classes.png": partial(draw_classes, audit.data_sets),
    }
    if any(comparison.leakage.repeats for comparison in audit.comparisons):
        pictures["leakage.png"] = partial(draw_leakage, audit)
    return write_report(folder / "audit.json", audit_as_dict(audit), pictures, progress)


def audit_as_dict(audit: Audit) -> dict[str, Any]:
    """Returns the audit in JSON types, without the crops."""
    return {
        "problems": audit.problems,
        "data_sets": [_facts_as_dict(facts) for facts in audit.data_sets],
        "duplicates": [
            {
                "sha256": each.sha256,
                "reach": each.reach,
                "labels_differ": each.labels_differ,
                "images": [{"data_set": name, "split": split, "image": image} for name, split, image in each.images],
            }
            for each in audit.duplicates
        ],
        "leakage": [_comparison_as_dict(audit, comparison) for comparison in audit.comparisons],
    }


def print_audit(console: Console, audit: Audit) -> None:
    """Prints counts, the rarest classes, problems, duplicates and leakage."""
    _print_counts(console, audit.data_sets)
    _print_rarest(console, audit.data_sets)
    for facts in audit.data_sets:
        if facts.entries is not None:
            each = facts.entries
            counts = f"{each.used} used, {each.superseded} corrected again later, {each.repeated} repeat other data"
            counts += f", {each.left_out} left out"
            newest = f", the newest used {each.newest}" if each.newest else ""
            entries = "1 entry" if each.total == 1 else f"{each.total} entries"
            line = f"{facts.name}: {entries}: {counts}{newest}"
            console.print(line, soft_wrap=True)
        _print_examples(console, "entries that cannot be used", facts.name, _lines(facts.left_out))
        _print_examples(console, "broken images", facts.name, _lines(facts.broken))
        _print_examples(console, "boxes that cannot be right", facts.name, _lines(facts.bad_boxes))
        _print_examples(console, "boxes that are labelled twice", facts.name, _lines(facts.double_boxes))
        _print_examples(console, "tracks in both splits", facts.name, facts.divided_tracks)
        _print_examples(console, "tracks with two classes", facts.name, facts.tracks_of_two_classes)
        for notice in facts.notices:
            console.print(f"note: {facts.name}: {notice}", soft_wrap=True)
    for reach in ("within a split", "across splits", "across data sets"):
        groups = [_line(each) for each in audit.duplicates if each.reach == reach]
        _print_examples(console, "groups of images with the same bytes", reach, groups)
    _print_leakage(console, audit.comparisons, _short_names(audit.data_sets))
    if audit.problems:
        problems = "1 problem: fix it" if audit.problems == 1 else f"{audit.problems} problems: fix them"
        console.print(f"{problems} before you train", style="bold red")
    else:
        console.print("no problems", style="bold green")


def _print_counts(console: Console, data_sets: Sequence[DatasetFacts]) -> None:
    has_unlabelled = any(each.unlabelled for facts in data_sets for each in facts.splits.values())
    unlabelled = ("no labels",) if has_unlabelled else ()
    table = _table("data set", "split", "images", "signs", "classes", "no signs", *unlabelled, "pixels (median)")
    for facts in data_sets:
        for split, each in facts.splits.items():
            numbers = [each.images, each.signs, len(facts.classes) - each.signs_per_class.count(0), each.without_signs]
            if has_unlabelled:
                numbers.append(each.unlabelled)
            table.add_row(facts.name, split, *(f"{number:,}" for number in numbers), _size_range(each))
    console.print(table)


def _table(*headings: str, left: int = 2) -> Table:
    """Returns a table whose first `left` columns hold names and are left-aligned; the others hold numbers."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for position, heading in enumerate(headings):
        is_name = position < left
        table.add_column(heading, justify="left" if is_name else "right", overflow="fold", no_wrap=not is_name)
    return table


def _size_range(facts: SplitFacts) -> str:
    sides = list(Counter(facts.long_sides).elements())
    return f"{min(sides)} to {max(sides)} ({median_low(sides)})" if sides else "-"


def _print_rarest(console: Console, data_sets: Sequence[DatasetFacts]) -> None:
    columns = [(facts, split) for facts in data_sets for split in facts.splits if facts.splits[split].signs]
    counted = [facts.splits[split] for facts, split in columns if split == "train"] or [
        facts.splits[split] for facts, split in columns
    ]
    class_names = data_sets[0].classes.names
    totals = [sum(each.signs_per_class[class_id] for each in counted) for class_id in range(len(class_names))]
    rarest = sorted(range(len(class_names)), key=lambda class_id: totals[class_id])[:RAREST]
    names = _short_names(data_sets)
    table = _table("fewest signs", *(f"{names[facts.name]} {split}" for facts, split in columns), left=1)
    for class_id in rarest:
        counts = [facts.splits[split].signs_per_class[class_id] for facts, split in columns]
        table.add_row(f"{class_id} {class_names[class_id]}", *map(str, counts))
    if columns:
        console.print()
        console.print(table)
    for facts, split in columns:
        empty = facts.splits[split].empty_classes
        if empty:
            ids = ", ".join(map(str, empty))
            console.print(f"{names[facts.name]} {split}: no sign of class {ids}", soft_wrap=True)


def _short_names(data_sets: Sequence[DatasetFacts]) -> dict[str, str]:
    """Returns the kind of each data set by its name, or the name itself if two have the same kind."""
    kinds = [facts.name.partition("=")[0] for facts in data_sets]
    return {
        facts.name: kind if kinds.count(kind) == 1 else facts.name for facts, kind in zip(data_sets, kinds, strict=True)
    }


def _print_leakage(console: Console, comparisons: Sequence[Comparison], names: dict[str, str]) -> None:
    if not comparisons:
        return
    table = _table("training data", "test data", "test signs seen", "tracks", "their images")
    for each in comparisons:
        seen = f"{each.repeated_signs} of {each.test_signs:,} ({each.repeated_signs / each.test_signs:.1%})"
        table.add_row(names[each.train], names[each.test], seen, str(len(each.leakage.tracks)), f"{each.images:,}")
    console.print()
    console.print(table)
    lines = [f"seen: a training crop of the same class correlates above {THRESHOLD}"]
    repeated = [each for each in comparisons if each.leakage.repeats]
    if any(each.train != each.test for each in repeated):
        lines.append(
            "from another data set: `signs train` leaves those tracks (or images) out when it gets both, unless "
            "--keep-leaked is given"
        )
    if any(each.train == each.test for each in repeated):
        lines.append(
            "from the same data set: `signs train` keeps them, so that its figures may be too high. If pictures show "
            "the same object, put all of them into one split"
        )
    for line in lines:
        console.print(line, soft_wrap=True, style="dim")


def _print_examples(console: Console, what: str, where: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(f"\n{what}: {len(lines)} ({where})", soft_wrap=True, style="bold")
    for line in lines[:EXAMPLES]:
        console.print(f"  {line}", soft_wrap=True)
    if len(lines) > EXAMPLES:
        console.print(f"  and {len(lines) - EXAMPLES} more")


def _line(duplicate: Duplicate) -> str:
    is_far = duplicate.reach == "across data sets"
    images = [f"{name} {split} {image}" if is_far else f"{split} {image}" for name, split, image in duplicate.images]
    return " = ".join(images) + (", with different labels" if duplicate.labels_differ else "")


def _lines(problems: Sequence[Problem]) -> list[str]:
    return [f"{problem.image}: {problem.what}" for problem in problems]


def _facts_as_dict(facts: DatasetFacts) -> dict[str, Any]:
    classes = [
        {"id": class_id, "name": name} | {split: each.signs_per_class[class_id] for split, each in facts.splits.items()}
        for class_id, name in enumerate(facts.classes.names)
    ]
    content = asdict(facts)
    splits = content["splits"]
    for each in splits.values():
        del each["signs_per_class"]
    return content | {"classes": classes}


def _comparison_as_dict(audit: Audit, comparison: Comparison) -> dict[str, Any]:
    train, test = audit.signs[comparison.train, "train"], audit.signs[comparison.test, "test"]
    return {
        "train": comparison.train,
        "test": comparison.test,
        "threshold": THRESHOLD,
        "test_signs": comparison.test_signs,
        "repeated_signs": comparison.repeated_signs,
        "tracks": list(comparison.leakage.tracks),
        "images": comparison.images,
        "repeats": [
            {
                "test_image": test.images[repeat.test],
                "train_image": train.images[repeat.train],
                "track": train.crops.sources[repeat.train],
                "class_id": int(test.crops.class_ids[repeat.test]),
                "correlation": round(repeat.correlation, 4),
            }
            for repeat in comparison.leakage.repeats
        ],
    }
