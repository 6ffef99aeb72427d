"""The rules of the gate that hold for every model: right answers, classes, parity, latency, size.

Noise does not decide: one or two images never do, and a latency counts only if its whole interval exceeds the budget.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.gate.config import GateLimits
from export.gate.statistics import Estimate, chance_of_loss, holm, quantile, quantile_ratio
from export.gate.verdict import Finding
from export.precision import TOLERANCES, Tolerance

FEWEST_LOST = 3  # net losses, in all or in a class, below which a rule refuses nothing
SHOWN = 3  # classes named in a sentence


@dataclass(frozen=True)
class Answers:
    """What the two versions got right; an item is an image of a sign, or a labelled sign of a scene."""

    names: tuple[str, ...]  # of the classes or categories, by id
    labels: npt.NDArray[np.int64]  # int64 [n], the true one of each item
    challenger: npt.NDArray[np.bool_]  # bool [n], whether it is right
    champion: npt.NDArray[np.bool_] | None  # bool [n], of the champion; None if there is none


def check_overall(rule: str, answers: Answers, limits: GateLimits) -> Finding:
    """Refuses a challenger that is significantly worse, or worse by more than the margin.

    The margin is at least two items, or a single image would decide on a small set.
    """
    count = len(answers.labels)
    score = float(answers.challenger.mean())
    if answers.champion is None:
        text = f"{score:.2%} of {count:,} right; without a champion it needs {limits.min_score:.2%}"
        return Finding(rule, score >= limits.min_score, text, {"challenger": score, "items": count})
    before = float(answers.champion.mean())
    lost, won = _lost_and_won(answers)
    chance = chance_of_loss(lost, won)
    margin = max(FEWEST_LOST - 1, math.floor(limits.max_loss * count + 1e-9))
    text = f"{score:.2%} of {count:,} right, champion {before:.2%}: {won} won, {lost} lost"
    broken = []
    if chance < limits.significance:
        broken.append(f"significantly worse (p = {chance:.2g})")
    if lost - won > margin:
        broken.append(f"{lost - won} fewer, where {margin} are allowed")
    text += f" ({'; '.join(broken)})" if broken else f" (p {chance:.2g})"
    figures = {"challenger": score, "champion": before, "items": count, "won": won, "lost": lost, "p": chance}
    return Finding(rule, not broken, text, figures)


def check_classes(rule: str, answers: Answers, limits: GateLimits) -> Finding:
    """Refuses a challenger if a class collapses.

    Its recall falls significantly (the same test, Holm's correction), which finds classes with many items; or below the
    floor with at least three net losses, which finds rare ones. Without a champion only the floor counts.
    """
    champion = np.ones_like(answers.challenger) if answers.champion is None else answers.champion
    falls, chances = [], []
    for class_id in np.unique(answers.labels):
        mine = answers.labels == class_id
        one = Answers(answers.names, answers.labels[mine], answers.challenger[mine], champion[mine])
        lost, won = _lost_and_won(one)
        fall = {
            "name": answers.names[class_id],
            "items": int(mine.sum()),
            "challenger": float(one.challenger.mean()),
            "champion": float(champion[mine].mean()) if answers.champion is not None else None,
            "lost": lost,
            "won": won,
        }
        falls.append(fall)
        chances.append(chance_of_loss(lost, won) if answers.champion is not None else 1.0)
    for fall, chance in zip(falls, holm(chances), strict=True):
        sank = fall["challenger"] < limits.class_floor <= (1.0 if fall["champion"] is None else fall["champion"])
        fall["p"] = chance
        fall["collapsed"] = chance < limits.significance or (sank and fall["lost"] - fall["won"] >= FEWEST_LOST)
    if answers.champion is None:
        falls.sort(key=lambda fall: (not fall["collapsed"], fall["challenger"]))
    else:
        falls.sort(key=lambda fall: (not fall["collapsed"], fall["won"] - fall["lost"]))
    collapsed = [fall for fall in falls if fall["collapsed"]]
    worst = [fall for fall in falls if fall["lost"] > fall["won"]]
    text = f"{len(collapsed)} of {len(falls)} collapsed: {_named(collapsed)}"
    if not collapsed:
        what = "the lowest" if answers.champion is None else "the largest falls"
        text = f"none of {len(falls)} collapsed" + (f"; {what}: {_named(worst)}" if worst else "")
    return Finding(rule, not collapsed, text, {"classes": worst, "collapsed": [fall["name"] for fall in collapsed]})


def check_parity(
    rule: str,
    precision: str,
    figures: Mapping[str, float],
    against: str,
    compared: int | None = None,
    tolerances: Mapping[str, Tolerance] = TOLERANCES,
) -> Finding:
    """Refuses a model that differs too much from its source.

    Args:
        figures: those of `export.parity.Parity`; empty if nothing was measured.
        compared: number of real images, or of signs in scenes, that the disagreements are a share of; None ignores
            disagreements, because those in a manifest include noise.
        tolerances: by precision.
    """
    allowed = tolerances.get(precision)
    if allowed is None:
        known = ", ".join(tolerances)
        return Finding(rule, False, f"no tolerance is known for the precision {precision!r}: {known} have one")
    if not {"samples", "max_difference", "disagreements"} <= figures.keys():
        text = f"its manifest does not say how far it is from {against}: publish it with `signs export onnx`"
        return Finding(rule, False, text)
    broken = []
    # Not `>`: NaN exceeds every limit.
    if not figures["max_difference"] <= allowed.difference:
        broken.append(f"{allowed.difference:g} is allowed for {precision}")
    if not figures.get("max_box_difference", 0) <= allowed.pixels:
        broken.append(f"boxes by {figures['max_box_difference']:.2g} pixels, where {allowed.pixels:g} is allowed")
    if compared is not None and figures["disagreements"] > allowed.changed * compared:
        broken.append(f"{allowed.changed:.1%} of disagreements are allowed")
    text = (
        f"differs from {against} by up to {figures['max_difference']:.2g} on {figures['samples']:,.0f} images, "
        f"{figures['disagreements']:.0f} disagreements"
    )
    kept = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    return Finding(rule, not broken, f"{text} ({'; '.join(broken)})" if broken else text, kept)


def check_recorded_accuracy(rule: str, accuracy: Mapping[str, Any], limits: GateLimits) -> Finding:
    """Refuses a file that had lost too much accuracy at its export, for machines that serve it and are not this one.

    `accuracy` is an `export.proof.Accuracy` from a manifest; empty if nothing was measured.
    """
    figures = {name: accuracy[name] for name in ("exported", "fp32", "samples") if name in accuracy}
    if len(figures) < 3 or not all(isinstance(value, int | float) for value in figures.values()):
        return Finding(rule, False, "its manifest does not say how accurate it is: publish it with `signs export onnx`")
    loss = figures["fp32"] - figures["exported"]
    text = (
        f"{figures['exported']:.2%}, the trained network {figures['fp32']:.2%} "
        f"({figures['samples']:,.0f} samples of {accuracy.get('data')})"
    )
    passed = loss <= limits.max_loss  # False for NaN
    return Finding(rule, passed, text if passed else f"{text}; a loss of {limits.max_loss:g} is allowed", figures)


def check_latency(
    challenger: npt.NDArray[np.float64], champion: npt.NDArray[np.float64] | None, limits: GateLimits
) -> Finding:
    """Refuses a challenger that is slower than the budget with the confidence of `limits.significance`.

    Besides p99 the median counts, because on a busy machine the slowest requests are due to the machine.

    Args:
        challenger: float64 [n], milliseconds of single requests.
        champion: float64 [n], measured in turn with them; None if there is none.
    """
    sure = 1 - limits.significance
    bound = f"lower bound at {sure * 100:g}% confidence"
    p50, p99 = (float(np.quantile(challenger, each)) for each in (0.5, 0.99))
    figures: dict[str, Any] = {"requests": len(challenger), "challenger_p50_ms": p50, "challenger_p99_ms": p99}
    text, broken = f"p50 {p50:.2f} and p99 {p99:.2f} ms", []
    if champion is not None:
        before50, before99 = (float(np.quantile(champion, each)) for each in (0.5, 0.99))
        text += f", champion {before50:.2f} and {before99:.2f}"
        figures |= {"champion_p50_ms": before50, "champion_p99_ms": before99}
        for name, which in (("p50", 0.5), ("p99", 0.99)):
            ratio = quantile_ratio(challenger, champion, which, sure)
            figures |= _bounds(f"ratio_{name}", ratio)
            text += f"; {name} {ratio.value:.2f} times ({bound}: {ratio.lower:.2f})"
            if ratio.lower > limits.max_latency_ratio:
                broken.append(f"{limits.max_latency_ratio:g} times is allowed at {name}")
    if limits.max_p99_ms is not None:
        slowest = quantile(challenger, 0.99, sure)
        figures |= _bounds("challenger_p99_ms", slowest)
        if slowest.lower > limits.max_p99_ms:
            broken.append(f"p99 ({bound}: {slowest.lower:.2f} ms), where {limits.max_p99_ms:g} is allowed")
    return Finding("latency", not broken, text + "".join(f"; {each}" for each in broken), figures)


def check_size(challenger: int, champion: int | None, limits: GateLimits) -> Finding:
    """Refuses a challenger whose files are too large, in bytes."""
    text, broken = f"{challenger / 1e6:.2f} MB", []
    if champion is not None:
        text += f", champion {champion / 1e6:.2f} MB"
        if challenger > limits.max_size_ratio * champion:
            broken.append(f"{limits.max_size_ratio:g} times as much is allowed")
    if limits.max_size_mb is not None and challenger > 1e6 * limits.max_size_mb:
        broken.append(f"{limits.max_size_mb:g} MB is allowed")
    figures = {"challenger_bytes": challenger, "champion_bytes": champion}
    return Finding("size", not broken, f"{text} ({'; '.join(broken)})" if broken else text, figures)


def _lost_and_won(answers: Answers) -> tuple[int, int]:
    assert answers.champion is not None
    lost = int((answers.champion & ~answers.challenger).sum())
    return lost, int((answers.challenger & ~answers.champion).sum())


def _named(falls: list[dict[str, Any]]) -> str:
    shown = []
    for fall in falls[:SHOWN]:
        before = "" if fall["champion"] is None else f" after {fall['champion']:.1%}"
        shown.append(f"{fall['name']} {fall['challenger']:.1%}{before} of {fall['items']}")
    return ", ".join(shown) + (f" and {len(falls) - SHOWN} more" if len(falls) > SHOWN else "")


def _bounds(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_lower": estimate.lower, f"{name}_upper": estimate.upper}
