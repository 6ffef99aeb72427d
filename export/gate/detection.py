"""The rules of the gate for a detector, besides those of `export.gate.rules`: false alarms and average precision."""

import numpy as np
import numpy.typing as npt

from export.gate.config import GateLimits
from export.gate.statistics import Ranked, chance_of_loss, mean_average_precision, precision_fall
from export.gate.verdict import Finding


def check_false_alarms(
    challenger: npt.NDArray[np.int64], champion: npt.NDArray[np.int64] | None, limits: GateLimits
) -> Finding:
    """Refuses a challenger that raises more false alarms in significantly more scenes than it raises fewer.

    Scenes are tested (`chance_of_loss`), not alarms, because the alarms of one scene depend on each other.

    Args:
        challenger: int64 [scenes], how many it raises in each.
        champion: the same of the champion; for None nothing is refused.
    """
    total = int(challenger.sum())
    text = f"{total} in {len(challenger):,} scenes"
    if champion is None:
        return Finding("false alarms", True, f"{text}, nothing to compare with", {"challenger": total})
    more, fewer = int((challenger > champion).sum()), int((challenger < champion).sum())
    chance = chance_of_loss(more, fewer)
    passed = chance >= limits.significance
    text += f", champion {int(champion.sum())}: more in {more} scenes, fewer in {fewer}"
    text += f" (p {chance:.2g})" if passed else f" (significantly worse, p = {chance:.2g})"
    figures: dict[str, float] = {"challenger": total, "champion": int(champion.sum())}
    figures |= {"more_scenes": more, "fewer_scenes": fewer, "p": chance}
    return Finding("false alarms", passed, text, figures)


def check_precision(
    challenger: Ranked, champion: Ranked | None, signs: npt.NDArray[np.int64], limits: GateLimits
) -> Finding:
    """Refuses a challenger whose mAP50 falls by more than the margin, and significantly.

    `signs`, int64 [scenes, categories], is how many there are to find.
    """
    value = mean_average_precision(challenger, signs)
    if champion is None:
        text = f"{value:.2%}; without a champion it needs {limits.min_score:.2%}"
        return Finding("mAP50", value >= limits.min_score, text, {"challenger": value})
    before = mean_average_precision(champion, signs)
    fall = precision_fall(champion, challenger, signs, 1 - limits.significance)
    passed = not (fall.value > limits.max_loss and fall.lower > 0)
    text = f"{value:.2%}, champion {before:.2%}"
    if not passed:
        text += (
            f" (it falls by {fall.value:.2%}, where {limits.max_loss:.2%} is allowed; lower bound at "
            f"{100 - limits.significance * 100:g}% confidence: {fall.lower:.2%})"
        )
    figures = {"challenger": value, "champion": before, "fall_lower": fall.lower, "fall_upper": fall.upper}
    return Finding("mAP50", passed, text, figures)
