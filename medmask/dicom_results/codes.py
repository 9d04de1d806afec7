"""Codes of the standard for findings, sides and views (PS3.16)."""

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from medmask.dicom_results.source_image import SourceImage
from medmask.images.dicom.view import BOTH_BREASTS, to_capitals

SIDES = {
    "L": codes.SCT.LeftBreast,
    "R": codes.SCT.RightBreast,
    BOTH_BREASTS: codes.SCT.BothBreasts,
}
"""CID 6022."""

_VIEWS = {
    "CC": codes.cid4014.CranioCaudal,
    "MLO": codes.cid4014.MedioLateralObliqueProjection,
    "ML": codes.cid4014.MedioLateralProjection,
    "LM": codes.cid4014.LateroMedial,
    "LMO": codes.cid4014.LateroMedialOblique,
    "FB": codes.cid4014.CaudoCranial,
    "SIO": codes.cid4014.SuperolateralToInferomedialOblique,
    "ISO": codes.cid4014.InferomedialToSuperolateralOblique,
    "XCCL": codes.cid4014.CranioCaudalExaggeratedLaterally,
    "XCCM": codes.cid4014.CranioCaudalExaggeratedMedially,
}

_CALCIFICATION = "calc"  # begins the names of classes of calcifications, in any case
_MASS = "mass"


def finding_code(category: str) -> Code:
    """Code a class of the detector for a measurement report.

    Args:
        category: name of the class. Where it speaks neither of masses nor of calcifications, the
            finding is a lesion, whatever its kind.
    """
    if _CALCIFICATION in category.lower():
        return codes.SCT.CalcificationCluster
    return codes.SCT.Mass if _MASS in category.lower() else codes.SCT.Lesion


def cad_finding_code(category: str) -> Code:
    """Code a class of the detector among the findings of mammography CAD (CID 6014).

    It has no lesion of unknown kind: all that is not a calcification is a density.
    """
    if _CALCIFICATION in category.lower():
        return codes.SCT.CalcificationCluster
    return codes.SCT.MammographyBreastDensity


def side_code(image: SourceImage) -> Code | None:
    """The breast that an image shows, if its header tells."""
    return None if image.side is None else SIDES[image.side]


def view_code(image: SourceImage) -> Code | None:
    """The view of an image, if its header tells: as a code, or by one of the usual names."""
    sequence = image.header.get("ViewCodeSequence") or []
    if len(sequence) == 1 and {"CodeValue", "CodingSchemeDesignator", "CodeMeaning"} <= set(
        sequence[0].dir()
    ):
        item = sequence[0]
        return Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
    return _VIEWS.get(to_capitals(image.header.get("ViewPosition")))
