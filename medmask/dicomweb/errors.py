"""Errors of an archive: each error is one sentence that quotes no patient's data."""

from medmask.errors import InputError


class DicomwebError(InputError):
    """A request that came to nothing."""


class UnreachableError(DicomwebError):
    """The archive does not answer, or says that it cannot now: the same request may work later."""


class AccessError(DicomwebError):
    """The archive does not let this user in, or its certificate is not trusted: all will fail."""


class RefusedError(DicomwebError):
    """The archive answered, and what it answered is of no use: a later try gives the same.

    Attributes:
        status: of HTTP; None where the status was fine and the content was not.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
