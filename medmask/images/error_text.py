"""Exceptions of other packages as part of one sentence."""


def describe_error(error: Exception) -> str:
    """Return the reason that an exception gives, on one line; its name where it gives none.

    Where a first line announces others, as pydicom's does, the last one is the reason.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    reason = lines[-1] if lines[0].endswith(":") else lines[0]
    return reason.rstrip(".:;")
