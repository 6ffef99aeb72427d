"""How a step ends without a result."""


class StepError(Exception):
    """A step failed; `final` is whether a repetition would fail, too."""

    def __init__(self, message: str, final: bool) -> None:
        super().__init__(message)
        self.final = final


class StepSkippedError(Exception):
    """A step has nothing to do; the message says why."""
