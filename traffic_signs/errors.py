"""Base classes of all expected errors; the command line prints each of them as one line."""


class SignsError(Exception):
    """A problem that the caller can fix; the message names the fix."""


class PictureError(SignsError):
    """A picture, a video or a camera cannot be read or written."""
