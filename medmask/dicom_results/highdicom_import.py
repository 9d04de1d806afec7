"""The optional package highdicom: a late import, and silence while it works."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from medmask.utils.optional_packages import import_optional


def check_highdicom() -> None:
    """Find before the work that the package is missing.

    Raises:
        InputError: it is.
    """
    import_optional("highdicom", "DICOM results need", "dicom-results")


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
