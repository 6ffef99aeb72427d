"""The evaluation set of the gate; `export.gate.crops` and `export.gate.scenes` are those of the kinds of networks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from export.arrays import Images
from export.gate.config import Limits
from export.gate.verdict import Finding, Role
from traffic_signs.progress import ProgressCallback

if TYPE_CHECKING:
    from export.gate.side_by_side import ServedVersion


class EvaluationSet(ABC):
    """An evaluation set that has been read, for one or two versions.

    Attributes:
        data: `name`, `split`, `fingerprint` and number of `signs`.
        images: some of its images as each version takes them, uint8 [n, height, width, 3].
    """

    data: dict[str, Any]
    images: dict[Role, Images]

    @abstractmethod
    def evaluate(
        self, versions: Mapping[Role, "ServedVersion"], limits: Limits, progress: ProgressCallback
    ) -> list[Finding]:
        """Has both versions answer, and returns what the rules of this kind of network find.

        Raises:
            UnusableError: the challenger gives no answers, or none that can be right.
            ClientError: the champion gives none.
        """
