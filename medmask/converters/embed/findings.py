"""The clinical table of EMBED: one row a finding, and what the rows of a breast say together."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medmask.converters.contract import Contents
from medmask.converters.problems import collect
from medmask.converters.tables import Row, read_table

ExamKey = tuple[str, str]
"""Patient (``empi_anon``) and exam (``acc_anon``)."""

_COLUMNS = ("empi_anon", "acc_anon", "side", "asses", "tissueden", "path_severity")
_OPTIONAL = ("bside", "massshape", "calcfind")

_SIDES = {"l": "L", "r": "R", "b": None}
_BIRADS = {"a": "0", "n": "1", "b": "2", "p": "3", "s": "4", "m": "5", "k": "6", "x": None}
_DENSITIES = {
    **{f"{number}{end}": letter for number, letter in enumerate("ABCD", 1) for end in ("", ".0")},
    **dict.fromkeys(("5", "5.0")),  # a male breast
}
_MALIGNANT, _BENIGN, _NOT_OF_THE_BREAST = range(2), range(2, 6), 6
_NEGATIVE_BIRADS = "1"
_BENIGN_BIRADS = (_NEGATIVE_BIRADS, "2", "3")
_MASS_KINDS = {
    **dict.fromkeys("grox", "mass"),
    **dict.fromkeys("qa", "architectural distortion"),
    **dict.fromkeys("bfsv", "asymmetry"),
    **dict.fromkeys("ny", "lymph node"),
    "t": "dilated duct",
}


@dataclass(frozen=True)
class Finding:
    """One row of the clinical table.

    Attributes:
        side: L or R; None for both.
        birads: "0" to "6", or None.
        density: A to D, or None.
        severity: 0 and 1 cancer, 2 to 5 not, 6 cancer that is not of the breast; None without
            pathology.
        pathology_side: L or R; None if the pathology is of the side of the finding.
        kinds: such as mass and calcification.
    """

    side: str | None
    birads: str | None
    density: str | None
    severity: int | None
    pathology_side: str | None
    kinds: tuple[str, ...]

    def is_of(self, side: str | None) -> bool:
        """Tell whether an image of this side can show the finding."""
        return self.side is None or side is None or self.side == side

    def malignant(self, side: str | None) -> bool | None:
        """Say what is known of the finding in an image of this side.

        Pathology decides. Without it, BI-RADS 1 to 3 is not malignant, and no other assessment
        decides anything: 0 is incomplete, and 4 and 5 wait for a biopsy.
        """
        is_elsewhere = None not in (side, self.pathology_side) and self.pathology_side != side
        if self.severity is None or is_elsewhere:
            return False if self.birads in _BENIGN_BIRADS else None
        if self.severity == _NOT_OF_THE_BREAST:
            return None
        return self.severity in _MALIGNANT


def read_findings(table: Path, contents: Contents) -> dict[ExamKey, list[Finding]]:
    """Read the findings of all exams; rows with faults are passed over and their faults listed."""
    findings: dict[ExamKey, list[Finding]] = defaultdict(list)
    for row in read_table(table, _COLUMNS, _OPTIONAL):
        with collect(contents.problems):
            finding = _to_finding(row)
            findings[row.identifier("empi_anon"), row.identifier("acc_anon")].append(finding)
    return findings


def breast_is_malignant(findings: Iterable[Finding], side: str | None) -> bool | None:
    """Say whether a breast has cancer: True if one finding is, False if none can be."""
    verdicts = [finding.malignant(side) for finding in findings]
    if True in verdicts:
        return True
    return None if None in verdicts or not verdicts else False


def breast_is_negative(findings: Sequence[Finding]) -> bool:
    """Say whether a breast is known to show no lesion: nothing but BI-RADS 1 is said of it."""
    return bool(findings) and all(f.birads == _NEGATIVE_BIRADS for f in findings)


def region_is_malignant(findings: Sequence[Finding], side: str | None) -> bool | None:
    """Say whether a marked region of a breast is malignant.

    Regions do not name their finding. So only what holds for all findings that may have been
    marked, which those of BI-RADS 1 are not, is known of a region.
    """
    marked = [finding for finding in findings if finding.birads != _NEGATIVE_BIRADS] or findings
    verdicts = {finding.malignant(side) for finding in marked}
    return verdicts.pop() if len(verdicts) == 1 else None


def _to_finding(row: Row) -> Finding:
    severity = row.number("path_severity")
    if severity is not None and severity not in range(7):
        raise row.fault("path_severity", "is not a whole number from 0 to 6; correct it")
    return Finding(
        side=row.choice("side", _SIDES),
        birads=row.choice("asses", _BIRADS),
        density=row.choice("tissueden", _DENSITIES),
        severity=None if severity is None else int(severity),
        pathology_side=row.choice("bside", _SIDES),
        kinds=_kinds(row),
    )


def _kinds(row: Row) -> tuple[str, ...]:
    shapes = (row["massshape"] or "").lower()
    kinds = [_MASS_KINDS[letter] for letter in shapes if letter in _MASS_KINDS]
    if row["calcfind"] is not None:
        kinds.append("calcification")
    return tuple(dict.fromkeys(kinds))
