"""Unique identifiers of DICOM (PS3.5 9.1), which name files and folders here."""

import re

_FORM = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_LONGEST = 64


def is_uid(candidate: object) -> bool:
    """Tell whether a value is one unique identifier: numbers and dots, 64 characters at most.

    Leading zeros, which the standard forbids and many write, may be. Nothing else passes, as a name
    such as ``../x`` would lead out of a folder.
    """
    return (
        isinstance(candidate, str)
        and len(candidate) <= _LONGEST
        and _FORM.fullmatch(candidate) is not None
    )
