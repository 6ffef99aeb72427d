"""The limits of drift."""

from dataclasses import dataclass
from typing import Annotated

from traffic_signs.settings import BaseSettings, Setting

SHARE = 0.1  # of the reference in each group: the usual thresholds of PSI assume deciles
LEAST_EXPECTED = 5  # counts in a group: the usual rule for the chi-squared test, W. G. Cochran, Biometrics 10 (1954)
FLOOR = round(LEAST_EXPECTED / SHARE)  # samples


@dataclass(frozen=True)
class DriftLimits(BaseSettings):
    """The limits of drift: a feature has drifted if it passes all of them."""

    alpha: Annotated[
        float, Setting("Chance of a false alarm in a window, for all features together.", min=1e-12, max=0.5)
    ] = 0.0001
    psi: Annotated[float, Setting("Least population stability index (PSI) that counts as drift.", min=0)] = 0.25
    floor: Annotated[
        int, Setting("Least number of scenes, or signs, for a verdict.", min=FLOOR, flags=("--min-samples",))
    ] = FLOOR
    repeats: Annotated[
        float,
        Setting("Number of successive photographs of one view that count as one, such as frames of a film.", min=1),
    ] = 1.0
