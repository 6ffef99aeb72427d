"""The base of every expected problem, so that the command line and the tasks can report each of them in one line."""


class SignsError(Exception):
    """A problem that the caller can mend; the message names the fix."""


class PictureError(SignsError):
    """A picture, a video or a camera cannot be read or written."""
