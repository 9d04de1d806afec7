"""The structured report of a study: TID 1500, Measurement Report (PS3.16)."""

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes

from medmask.dicom_results.codes import SIDES, finding_code
from medmask.dicom_results.identity import ALGORITHM_NAME, Identity
from medmask.dicom_results.predictions import Finding
from medmask.dicom_results.source_image import SourceImage
from medmask.dicom_results.study import Study

SERIES_NUMBER = 9101


def measurement_report(study: Study, identity: Identity) -> Dataset:
    """Write down the findings of a study, each as a closed polyline on its image.

    The first group says which images were looked at and whether there are findings; a report
    without findings has that group alone. Certainty of Finding, in percent, is the standard's word
    for how sure the algorithm is, which claims no probability of cancer: it is the calibrated
    probability that a finding lies on a lesion, beside which stands the score, or where there is no
    calibration the score itself, which the parameters of the algorithm then say.

    Args:
        study: its images and findings.
        identity: of the algorithm.
    """
    groups: list[
        sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations
    ] = [_summary(study, identity)]
    for image in study.images:
        for number, finding in enumerate(image.findings, start=1):
            groups.append(_lesion(image, number, finding, identity))
    observer = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=identity.device_uid,
            name=ALGORITHM_NAME,
            manufacturer_name=ALGORITHM_NAME,
            model_name=identity.version,
            serial_number=identity.weights,
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.SCT.Mammography,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    return sr.ComprehensiveSR(
        evidence=[image.header for image in study.images],
        content=content,
        series_number=SERIES_NUMBER,
        sop_instance_uid=identity.object_uid("report", study.images),
        instance_number=1,
        is_complete=True,
        **identity.keywords("report", "measurement report", study.uid),
    )


def _algorithm(identity: Identity) -> sr.AlgorithmIdentification:
    return sr.AlgorithmIdentification(
        ALGORITHM_NAME, identity.version, list(identity.parameters), manufacturer=ALGORITHM_NAME
    )


def _summary(study: Study, identity: Identity) -> sr.MeasurementsAndQualitativeEvaluations:
    outcome = (
        codes.DCM.AllAlgorithmsSucceededWithFindings
        if study.has_findings
        else codes.DCM.AllAlgorithmsSucceededWithoutFindings
    )
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            identity.object_uid("summary", study.images), "all images"
        ),
        algorithm_id=_algorithm(identity),
        qualitative_evaluations=[
            sr.QualitativeEvaluation(codes.DCM.CADProcessingAndFindingsSummary, outcome)
        ],
        source_images=[
            sr.SourceImageForMeasurementGroup.from_source_image(image.header)
            for image in study.images
        ],
    )


def _lesion(
    image: SourceImage, number: int, finding: Finding, identity: Identity
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    x0, y0, x1, y1 = finding.box
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
    sites = [] if image.side is None else [sr.FindingSite(SIDES[image.side])]
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            identity.finding_uid(image, number), f"{finding.category} {number}"
        ),
        referenced_region=sr.ImageRegion(
            sr.GraphicTypeValues.POLYLINE,
            corners,
            sr.SourceImageForRegion.from_source_image(image.header),
        ),
        finding_type=finding_code(finding.category),
        algorithm_id=_algorithm(identity),
        finding_sites=sites,
        measurements=_measurements(finding),
    )


def _measurements(finding: Finding) -> list[sr.Measurement]:
    certainty = sr.Measurement(
        codes.DCM.CertaintyOfFinding, finding.certainty * 100, codes.UCUM.Percent
    )
    if finding.probability is None:
        return [certainty]
    return [certainty, sr.Measurement(codes.SCT.Score, finding.score, codes.UCUM.NoUnits)]
