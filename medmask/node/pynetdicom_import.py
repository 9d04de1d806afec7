"""The optional package pynetdicom: a late import."""

from medmask.errors import InputError


def check_pynetdicom() -> None:
    """Find before the work that the package is missing.

    Raises:
        InputError: it is.
    """
    try:
        import pynetdicom  # noqa: F401
    except ImportError as error:
        raise InputError(
            "a DICOM node needs the package pynetdicom: run 'pip install medmask-detection[node]'"
        ) from error
