"""The settings of the drift watch: from when on a difference is drift."""

from dataclasses import dataclass
from typing import Annotated

from traffic_signs.settings import BaseSettings, Setting

SHARE = 0.1  # of the reference in each group: the deciles that the customary thresholds of PSI are meant for
LEAST_EXPECTED = 5  # counts: the customary rule for the chi-squared test, W. G. Cochran, Biometrics 10 (1954)
FLOOR = round(LEAST_EXPECTED / SHARE)  # so that chi-squared can be trusted in each group


@dataclass(frozen=True)
class Limits(BaseSettings):
    """From when on a difference is drift: all three must be passed."""

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
