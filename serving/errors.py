"""Errors of serving."""

from traffic_signs.errors import SignsError


class ServingError(SignsError):
    """A tritonserver cannot be installed, started or used; the message names the fix."""
