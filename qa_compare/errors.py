"""The one error that people see: a sentence that names what is wrong and what to do about it."""


class UserError(ValueError):
    """Bad input, a missing file or missing weights. Its text is shown as it is, never with a traceback."""


class OverLimit(UserError):
    """More than the caller takes: too many bytes or rows."""
