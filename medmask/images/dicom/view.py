"""The breast that a DICOM file says it shows, and the view of it.

See PS3.3 C.8.11.5 and C.8.11.7, and PS3.16 CID 4014.
"""

from medmask.images.dicom.elements import Elements

BOTH_BREASTS = "B"

_VIEWS = {
    **dict.fromkeys(("399162004", "R-10242"), "CC"),  # in SNOMED CT, and SNOMED-RT of older files
    **dict.fromkeys(("399368009", "R-10226"), "MLO"),
    **dict.fromkeys(("399260004", "R-10224"), "ML"),
    **dict.fromkeys(("399352003", "R-10228"), "LM"),
    **dict.fromkeys(("399099002", "R-10230"), "LMO"),
    **dict.fromkeys(("399196006", "R-10244"), "FB"),
    **dict.fromkeys(("399188001", "R-102D0"), "SIO"),
    **dict.fromkeys(("441555000", "R-40AAA"), "ISO"),
    **dict.fromkeys(("399192008", "R-1024A"), "XCCL"),
    **dict.fromkeys(("399101009", "R-1024B"), "XCCM"),
}


def read_side(elements: Elements) -> str:
    """Read the breast: Image Laterality, or Laterality, which is that of the series.

    Returns:
        L or R; empty where neither is stated, as where both breasts are.

    Raises:
        InputError: an element holds several values.
    """
    side = to_side(elements.text("ImageLaterality") or elements.text("Laterality"))
    return "" if side == BOTH_BREASTS else side


def to_side(code: object) -> str:
    """Read a value of one of these elements.

    Returns:
        L, R, or B for both breasts; empty for anything else.
    """
    side = to_capitals(code)
    return side if side in ("L", "R", BOTH_BREASTS) else ""


def to_capitals(code: object) -> str:
    """Read a code string, which is capitals (PS3.5 6.2) but where programs write small letters."""
    return str(code or "").strip().upper()


def read_view(elements: Elements) -> str:
    """Read the view: View Position, or the code that mammograms have to have.

    Returns:
        Such as CC or MLO; empty where none is stated.

    Raises:
        InputError: an element cannot be understood.
    """
    return to_capitals(elements.text("ViewPosition")) or read_coded_view(elements)


def read_coded_view(elements: Elements) -> str:
    """Read the view of View Code Sequence alone; see :func:`read_view`."""
    views = (_VIEWS.get(item.text("CodeValue")) for item in elements.items("ViewCodeSequence"))
    return next(filter(None, views), "")
