"""The mammography CAD structured report of a study: TID 4000 and what it includes (PS3.16)."""

from highdicom import SOPClass
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, MammographyCADSRStorage

from medmask.dicom_results import cad_tree as tree
from medmask.dicom_results.codes import cad_finding_code, side_code, view_code
from medmask.dicom_results.identity import ALGORITHM_NAME, Identity
from medmask.dicom_results.predictions import Finding
from medmask.dicom_results.source_image import SourceImage
from medmask.dicom_results.study import Study

SERIES_NUMBER = 9102
_ENGLISH = Code("en", "RFC5646", "English")
_LIBRARY = (1, 2)  # the place of the image library: second child of the root
_ALGORITHM_MANUFACTURER = Code("122405", "DCM", "Algorithm Manufacturer")


def cad_report(study: Study, identity: Identity) -> Dataset:
    """Write down the findings of a study as mammography CAD does.

    The tree has the images once, in its library; findings refer to it. A finding has its center
    and its outline, a closed polyline, and its Certainty of Finding, in percent: the calibrated
    probability, or the score if there is none, as in the measurement report.

    Args:
        study: its images and findings.
        identity: of the algorithm.
    """
    header = study.images[0].header
    report = SOPClass(
        study_instance_uid=study.uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=identity.object_uid("cad", study.images),
        sop_class_uid=MammographyCADSRStorage,
        instance_number=1,
        modality="SR",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        patient_id=header.PatientID,
        patient_name=header.PatientName,
        patient_birth_date=header.PatientBirthDate,
        patient_sex=header.PatientSex,
        accession_number=header.AccessionNumber,
        study_id=header.StudyID,
        study_date=header.StudyDate,
        study_time=header.StudyTime,
        referring_physician_name=header.ReferringPhysicianName,
        specific_character_set=header.get("SpecificCharacterSet"),
        **identity.keywords("cad", "CAD report", study.uid),
    )
    report.copy_patient_and_study_information(header)
    report.CompletionFlag = "COMPLETE"
    report.VerificationFlag = "UNVERIFIED"
    report.PerformedProcedureCodeSequence = []
    report.ReferencedPerformedProcedureStepSequence = []
    report.CurrentRequestedProcedureEvidenceSequence = [_evidence(study)]
    report.update(_root(study, identity))
    return report


def _evidence(study: Study) -> Dataset:
    """The images that the tree names, by series."""
    by_series: dict[str, list[Dataset]] = {}
    for image in study.images:
        reference = Dataset()
        reference.ReferencedSOPClassUID = image.header.SOPClassUID
        reference.ReferencedSOPInstanceUID = image.header.SOPInstanceUID
        by_series.setdefault(image.header.SeriesInstanceUID, []).append(reference)
    evidence = Dataset()
    evidence.ReferencedSeriesSequence = []
    for uid, references in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = uid
        series.ReferencedSOPSequence = references
        evidence.ReferencedSeriesSequence.append(series)
    evidence.StudyInstanceUID = study.uid
    return evidence


def _root(study: Study, identity: Identity) -> Dataset:
    """TID 4000."""
    library = [_library_entry(image) for image in study.images]
    detections = _detections_performed(study, identity)
    return tree.container(
        None,
        codes.DCM.MammographyCADReport,
        [
            tree.code(
                tree.HAS_CONCEPT_MOD, codes.DCM.LanguageOfContentItemAndDescendants, _ENGLISH
            ),
            tree.container(tree.CONTAINS, codes.DCM.ImageLibrary, library),
            _findings_summary(study, identity),
            tree.code(
                tree.CONTAINS,
                codes.DCM.SummaryOfDetections,
                codes.DCM.Succeeded,
                [tree.container(tree.INFERRED_FROM, codes.DCM.SuccessfulDetections, detections)],
            ),
            tree.code(tree.CONTAINS, codes.DCM.SummaryOfAnalyses, codes.DCM.NotAttempted),
        ],
        template="4000",
    )


def _library_entry(image: SourceImage) -> Dataset:
    """TID 4020: what a reader of the report needs to know of an image."""
    context = []
    for name, value in (
        (codes.DCM.ImageLaterality, side_code(image)),
        (codes.DCM.ImageView, view_code(image)),
    ):
        if value is not None:
            context.append(tree.code(tree.HAS_ACQ_CONTEXT, name, value))
    orientation = image.header.get("PatientOrientation") or ()
    if len(orientation) == 2:
        names = (codes.DCM.PatientOrientationRow, codes.DCM.PatientOrientationColumn)
        for name, direction in zip(names, orientation, strict=True):
            context.append(tree.text(tree.HAS_ACQ_CONTEXT, name, str(direction)))
    spacing = image.header.get("ImagerPixelSpacing") or ()
    if len(spacing) == 2:
        vertical, horizontal = map(float, spacing)
        for axis, length in (
            (codes.DCM.HorizontalPixelSpacing, horizontal),
            (codes.DCM.VerticalPixelSpacing, vertical),
        ):
            context.append(tree.number(tree.HAS_ACQ_CONTEXT, axis, length, codes.UCUM.Millimeter))
    return tree.image(tree.CONTAINS, image.header, context)


def _findings_summary(study: Study, identity: Identity) -> Dataset:
    """TID 4001, with one TID 4003 for each finding."""
    impressions = [
        tree.container(
            tree.INFERRED_FROM,
            codes.DCM.IndividualImpressionRecommendation,
            [_rendering_intent(), _single_image_finding(place, finding, identity)],
        )
        for place, image in enumerate(study.images, start=1)
        for finding in image.findings
    ]
    outcome = (
        codes.DCM.AllAlgorithmsSucceededWithFindings
        if impressions
        else codes.DCM.AllAlgorithmsSucceededWithoutFindings
    )
    name = codes.DCM.CADProcessingAndFindingsSummary
    return tree.code(tree.CONTAINS, name, outcome, impressions)


def _single_image_finding(place: int, finding: Finding, identity: Identity) -> Dataset:
    """TID 4006, with TID 4021 for its place on the image."""
    x0, y0, x1, y1 = finding.box
    selected = [tree.by_reference(tree.SELECTED_FROM, (*_LIBRARY, place))]
    outline = (x0, y0, x1, y0, x1, y1, x0, y1, x0, y0)
    return tree.code(
        tree.CONTAINS,
        codes.DCM.SingleImageFinding,
        cad_finding_code(finding.category),
        [
            _rendering_intent(),
            *_algorithm(identity),
            tree.number(
                tree.HAS_PROPERTIES,
                codes.DCM.CertaintyOfFinding,
                finding.certainty * 100,
                codes.UCUM.Percent,
            ),
            tree.coordinates(
                tree.HAS_PROPERTIES,
                codes.DCM.Center,
                "POINT",
                ((x0 + x1) / 2, (y0 + y1) / 2),
                selected,
            ),
            tree.coordinates(tree.HAS_PROPERTIES, codes.DCM.Outline, "POLYLINE", outline, selected),
        ],
    )


def _rendering_intent() -> Dataset:
    """Findings are shown: their threshold was chosen by who asked for the report."""
    intent = codes.DCM.PresentationRequiredRenderingDeviceIsExpectedToPresent
    return tree.code(tree.HAS_CONCEPT_MOD, codes.DCM.RenderingIntent, intent)


def _detections_performed(study: Study, identity: Identity) -> list[Dataset]:
    """TID 4017, for each kind of finding; densities are looked for in every image."""
    found = {cad_finding_code(f.category) for image in study.images for f in image.findings}
    kinds = sorted(found | {codes.SCT.MammographyBreastDensity}, key=lambda kind: kind.value)
    images = [
        tree.by_reference(tree.HAS_PROPERTIES, (*_LIBRARY, place))
        for place in range(1, len(study.images) + 1)
    ]
    name = codes.DCM.DetectionPerformed
    return [
        tree.code(tree.CONTAINS, name, kind, [*_algorithm(identity), *images]) for kind in kinds
    ]


def _algorithm(identity: Identity) -> list[Dataset]:
    """TID 4019."""
    named = [
        (codes.DCM.AlgorithmName, ALGORITHM_NAME),
        (codes.DCM.AlgorithmVersion, identity.version),
        (_ALGORITHM_MANUFACTURER, ALGORITHM_NAME),
        *((codes.DCM.AlgorithmParameters, parameter) for parameter in identity.parameters),
    ]
    return [tree.text(tree.HAS_PROPERTIES, name, value) for name, value in named]
