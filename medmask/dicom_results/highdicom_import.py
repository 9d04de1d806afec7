"""The optional package highdicom: a late import, and silence while it works."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from medmask.errors import InputError


def check_highdicom() -> None:
    """Find before the work that the package is missing.

    Raises:
        InputError: it is.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise InputError(
            "DICOM results need the package highdicom: run 'pip install "
            "medmask-detection[dicom-results]'"
        ) from error


@contextlib.contextmanager
def without_patient_data_in_logs(*others: str) -> Iterator[None]:
    """Silence warnings of highdicom and pydicom, which quote names and other values of headers.

    Args:
        others: names of more loggers to be silent.
    """
    loggers = [logging.getLogger(name) for name in ("highdicom", "pydicom", *others)]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
