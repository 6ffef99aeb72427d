"""The findings of the rules, and the verdict that follows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from export.gate.config import GateLimits
from traffic_sign_client.errors import ClientError

Role = Literal["champion", "challenger"]


class UnusableError(ClientError):
    """Triton cannot load the challenger, or gets no answer from it: it is refused."""


@dataclass(frozen=True)
class Finding:
    """The result of one rule: the reason with the figures as `text` for a person, and as `figures` for a program."""

    rule: str
    passed: bool
    text: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """One of the two versions: its number, and the sha256 of its model file, which identifies copies."""

    version: int
    sha256: str


@dataclass(frozen=True)
class Verdict:
    """The decision about a challenger, with its reasons."""

    model: str
    challenger: Side
    champion: Side | None  # the version it was compared with; None if there was none
    data: dict[str, Any]  # `name`, `split`, `fingerprint` and number of `signs` of the evaluation set
    server: str
    findings: Sequence[Finding]
    limits: GateLimits
    notices: Sequence[str] = ()  # limits of the comparison, a sentence each
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))  # ISO 8601, UTC

    @property
    def passed(self) -> bool:
        """Whether the challenger may become champion: it passes every rule."""
        return bool(self.findings) and all(finding.passed for finding in self.findings)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        name = f"{self.model} {self.challenger.version}"
        if not self.passed:
            broken = ", ".join(finding.rule for finding in self.findings if not finding.passed)
            stays = f", and version {self.champion.version} stays" if self.champion else ""
            return f"{name} is refused for its {broken}{stays}"
        if self.champion is None:
            return f"{name} may become champion: it passes every rule, without a version to compare it with"
        return f"{name} may become champion: it passes every rule against version {self.champion.version}"

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it in types that JSON has: the content of a manifest's `gate`."""
        return {
            "passed": self.passed,
            "verdict": self.sentence,
            "time": self.time,
            "challenger": asdict(self.challenger),
            "champion": asdict(self.champion) if self.champion else None,
            "data": dict(self.data),
            "server": self.server,
            "rules": [asdict(finding) for finding in self.findings],
            "limits": asdict(self.limits),
            "notices": list(self.notices),
        }
