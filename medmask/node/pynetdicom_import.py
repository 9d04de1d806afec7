"""The optional package pynetdicom: a late import."""

from medmask.utils.optional_packages import import_optional


def check_pynetdicom() -> None:
    """Find before the work that the package is missing.

    Raises:
        InputError: it is.
    """
    import_optional("pynetdicom", "a DICOM node needs", "node")
