"""DICOM results read back by highdicom and pydicom."""

import errno
import logging
import os
import shutil
from dataclasses import replace
from io import BytesIO

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from highdicom import sr
from pydicom.sr.codedict import codes

from medmask.calibration.settings import UNCALIBRATED
from medmask.dicom_results import write_results, writing
from medmask.dicom_results.options import ResultOptions
from medmask.dicom_results.predictions import Finding, ScoredImage
from medmask.errors import InputError
from medmask.images import read_image
from medmask.images.dicom.other_objects import is_other_object
from medmask.version import __version__

WEIGHTS = "0123456789abcdef"
PROMISE = "not for clinical use"


@pytest.fixture(scope="module")
def results(predictions, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    summary = write_results(predictions, folder)
    assert (summary.studies, summary.written, summary.there_before) == (2, 20, 0)
    assert not summary.problems
    return folder


def expected(predictions):
    """Findings at or above the threshold, by SOP Instance UID."""
    return {
        str(pydicom.dcmread(x.path, stop_before_pixels=True).SOPInstanceUID): [
            finding for finding in x.findings if finding.score >= 0.3
        ]
        for x in predictions.images
    }


def box_of(points):
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    assert len(points) == 5
    assert (points[0] == points[-1]).all()
    assert len(np.unique(points[:, 0])) == len(np.unique(points[:, 1])) == 2
    return [*points.min(axis=0), *points.max(axis=0)]


def check_boxes(found, predictions):
    """Boxes are stored in single precision."""
    wanted = expected(predictions)
    assert {uid: len(boxes) for uid, boxes in found.items()} == {
        uid: len(findings) for uid, findings in wanted.items() if findings
    }
    for uid, boxes in found.items():
        for (box, score), finding in zip(boxes, wanted[uid], strict=True):
            np.testing.assert_allclose(box, finding.box, rtol=2**-23)
            assert score == pytest.approx(finding.score * 100, rel=1e-12)


def test_results_are_no_images_to_detect_in(results, predictions):
    """They lie beside the images once a PACS has both."""
    assert all(is_other_object(path) for path in results.rglob("*.dcm"))
    assert not any(is_other_object(image.path) for image in predictions.images)


def read_reports(results):
    return [sr.srread(path) for path in sorted(results.rglob("measurement_report.dcm"))]


def boxes_of_reports(results):
    found = {}
    for report in read_reports(results):
        for group in report.content.get_planar_roi_measurement_groups():
            region = group.roi
            source = region.ContentSequence[0].ReferencedSOPSequence[0]
            (measurement,) = group.get_measurements(codes.DCM.CertaintyOfFinding)
            assert measurement.unit == codes.UCUM.Percent
            found.setdefault(str(source.ReferencedSOPInstanceUID), []).append(
                (box_of(region.value), measurement.value)
            )
    return found


def test_measurement_reports_read_back(results, predictions):
    check_boxes(boxes_of_reports(results), predictions)


def test_measurement_reports_name_algorithm_kind_and_side(results, predictions):
    sides = {
        str(header.SOPInstanceUID): header.ImageLaterality
        for header in (pydicom.dcmread(x.path, stop_before_pixels=True) for x in predictions.images)
    }
    names = {"L": codes.SCT.LeftBreast, "R": codes.SCT.RightBreast}
    kinds = []
    for report in read_reports(results):
        assert report.ContentQualification == "RESEARCH"
        for group in report.content.get_planar_roi_measurement_groups():
            source = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
            (site,) = group.finding_sites
            assert site.value == names[sides[source.ReferencedSOPInstanceUID]]
            kinds.append(group.finding_type)
            texts = [item.TextValue for item in group[0].ContentSequence if "TextValue" in item]
            assert f"{__version__}+{WEIGHTS}" in texts
            assert {PROMISE, UNCALIBRATED, "score threshold: 0.3"} <= set(texts)
    assert kinds == [
        codes.SCT.Mass,
        codes.SCT.Mass,
        codes.SCT.CalcificationCluster,
        codes.SCT.Lesion,
    ]


def test_reports_tell_all_images_and_whether_there_are_findings(results, predictions):
    seen, outcomes = set(), set()
    for report in read_reports(results):
        (summary,) = report.content.get_image_measurement_groups()
        seen |= {image.referenced_sop_instance_uid for image in summary.source_images}
        (evaluation,) = summary.get_qualitative_evaluations()
        outcomes.add(evaluation.value)
    assert seen == set(expected(predictions))
    assert outcomes == {
        codes.DCM.AllAlgorithmsSucceededWithFindings,
        codes.DCM.AllAlgorithmsSucceededWithoutFindings,
    }


def walk(item, place=(1,)):
    """All items of a tree with their places."""
    yield place, item
    for number, child in enumerate(item.get("ContentSequence", ()), start=1):
        yield from walk(child, (*place, number))


def name_of(item):
    return item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""


def test_cad_reports_read_back(results, predictions):
    found = {}
    for path in results.rglob("cad_report.dcm"):
        root = pydicom.dcmread(path)
        items = dict(walk(root))
        findings = [x for x in items.values() if name_of(x) == "Single Image Finding"]
        for finding in findings:
            parts = {name_of(part): part for part in finding.ContentSequence}
            (score,) = parts["Certainty of Finding"].MeasuredValueSequence
            places = {
                tuple(parts[name].ContentSequence[0].ReferencedContentItemIdentifier)
                for name in ("Center", "Outline")
            }
            (place,) = places
            image = items[place].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            box = box_of(parts["Outline"].GraphicData)
            center = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
            np.testing.assert_allclose(parts["Center"].GraphicData, center, rtol=1e-6)
            assert parts["Algorithm Version"].TextValue == f"{__version__}+{WEIGHTS}"
            found.setdefault(image, []).append((box, score.FloatingPointValue))
    check_boxes(found, predictions)


def test_cad_reports_tell_side_and_view_of_each_image(results, predictions):
    told = {}
    for path in results.rglob("cad_report.dcm"):
        for _, item in walk(pydicom.dcmread(path)):
            if item.get("ValueType") == "IMAGE":
                values = [x.ConceptCodeSequence[0].CodeMeaning for x in item.ContentSequence[:2]]
                told[item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID] = values
    words = {"L": "Left breast", "R": "Right breast", "CC": "cranio-caudal"}
    words["MLO"] = "medio-lateral oblique"
    for x in predictions.images:
        header = pydicom.dcmread(x.path, stop_before_pixels=True)
        wanted = [words[header.ImageLaterality], words[header.ViewPosition]]
        assert told[header.SOPInstanceUID] == wanted
    assert len(told) == len(predictions.images)


def test_presentation_states_read_back(results, predictions):
    found, texts = {}, []
    for path in results.rglob("presentation_state_*.dcm"):
        state = pydicom.dcmread(path)
        (series,) = state.ReferencedSeriesSequence
        uid = series.ReferencedImageSequence[0].ReferencedSOPInstanceUID
        assert path.stem.endswith(uid)
        (annotation,) = state.GraphicAnnotationSequence
        labels = [text.UnformattedTextValue for text in annotation.TextObjectSequence]
        boxes = annotation.get("GraphicObjectSequence", [])
        assert len(labels) == len(boxes) + 1
        assert PROMISE in labels[-1]
        texts += labels[:-1]
        if boxes:
            wanted = expected(predictions)[uid]
            found[uid] = [
                (box_of(box.GraphicData), finding.score * 100)
                for box, finding in zip(boxes, wanted, strict=True)
            ]
    check_boxes(found, predictions)
    assert sorted(texts) == sorted(
        [
            "mass 1: score 0.91",
            "mass 1: score 0.91",
            "calcification 2: score 0.50",
            "malignant lesion 3: score 0.30",
        ]
    )


def test_objects_of_all_kinds_name_the_algorithm_and_what_it_is_not_for(results):
    kinds = set()
    for path in results.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        kinds.add(dataset.SOPClassUID)
        assert (dataset.Manufacturer, dataset.ManufacturerModelName) == ("MedMask", "MedMask")
        assert dataset.SoftwareVersions == f"{__version__}+{WEIGHTS}"
        assert dataset.DeviceSerialNumber == WEIGHTS
        assert dataset.ContentQualification == "RESEARCH"
        assert PROMISE in dataset.SeriesDescription
    assert len(kinds) == 4


def test_tracking_identifiers_are_those_of_the_report(results):
    of_reports = {
        str(group.tracking_uid)
        for report in read_reports(results)
        for group in report.content.get_planar_roi_measurement_groups()
    }
    of_states = {
        str(box.TrackingUID)
        for path in results.rglob("presentation_state_*.dcm")
        for box in pydicom.dcmread(path)
        .GraphicAnnotationSequence[0]
        .get("GraphicObjectSequence", [])
    }
    assert of_reports == of_states
    assert len(of_reports) == 4


def test_pictures_have_the_boxes_burnt_in(results, predictions):
    for uid, findings in expected(predictions).items():
        (path,) = results.rglob(f"secondary_capture_{uid}.dcm")
        capture = pydicom.dcmread(path)
        assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == uid
        assert PROMISE in capture.DerivationDescription
        pixels = capture.pixel_array.astype(int)
        assert pixels[-52:].max() > 200  # the note below the image
        scale = pixels.shape[1] / 96
        is_colored = np.ptp(pixels, axis=2) > 60
        assert is_colored.any() == bool(findings)
        for finding in findings[:1]:
            x0, _, x1, y1 = (round(side * scale) for side in finding.box)
            edge = is_colored[y1 - 3 : y1 + 4, x0:x1].any(axis=0)
            assert edge.mean() > 0.95


def test_a_class_has_one_color_in_all_pictures(predictions, phantom_studies, tmp_path):
    """As in the pictures of predict: that of its place among the classes."""
    boxes = {"calcification": (20, 60, 70, 110), "mass": (5, 5, 90, 50)}

    def colors(*classes, predictions=predictions):
        findings = tuple(Finding(boxes[name], 0.9, name) for name in classes)
        images = (ScoredImage(phantom_studies[0], findings),)
        folder = tmp_path / "_".join(classes)
        write_results(
            replace(predictions, images=images), folder, ResultOptions(objects=("capture",))
        )
        (path,) = folder.rglob("secondary_capture_*.dcm")
        pixels = pydicom.dcmread(path).pixel_array
        scale = pixels.shape[1] / 96
        corners = {name: [round(side * scale) for side in boxes[name]] for name in classes}
        return {name: tuple(pixels[y1 - 1, x0 + 9]) for name, (x0, _, _, y1) in corners.items()}

    both = colors("calcification", "mass")
    assert both["calcification"] != both["mass"]
    assert colors("mass")["mass"] == both["mass"]
    turned = replace(predictions, categories=predictions.categories[::-1])
    assert colors("mass", "calcification", predictions=turned)["mass"] == both["calcification"]


def test_boxes_of_the_report_drawn_over_the_image_enclose_it_as_predicted(
    results, predictions, tmp_path
):
    """The picture is written to look at: ``--basetemp`` keeps it."""
    found = boxes_of_reports(results)
    for x in predictions.images:
        uid = str(pydicom.dcmread(x.path, stop_before_pixels=True).SOPInstanceUID)
        pixels = read_image(x.path).astype(np.uint8)
        canvas = Image.fromarray(pixels)
        for box, _ in found.get(uid, []):
            ImageDraw.Draw(canvas).rectangle([round(side) for side in box], outline=(255, 0, 0))
        canvas.save(tmp_path / f"{x.path.stem}.png")
        changed = (np.asarray(canvas) != pixels).any(axis=2)
        assert changed.any() == bool(expected(predictions)[uid])
    written = write_results(predictions, tmp_path / "again")
    assert written.written == 20


def test_another_run_doubles_nothing(results, predictions, tmp_path):
    before = {path.relative_to(results): path.read_bytes() for path in results.rglob("*.dcm")}
    summary = write_results(predictions, results)
    assert (summary.written, summary.there_before) == (0, 20)
    write_results(predictions, tmp_path)
    after = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.dcm")}
    assert before == after


@pytest.mark.parametrize("what", ["weights", "threshold", "finding"])
def test_other_results_have_other_identifiers(results, predictions, tmp_path, what):
    options = ResultOptions(objects=("report",))
    if what == "weights":
        predictions = replace(predictions, weights="f" * 16)
    elif what == "threshold":
        options = replace(options, score_threshold=0.05)
    else:
        images = [
            replace(x, findings=(Finding((1, 2, 30, 40), 0.7, "mass"),)) for x in predictions.images
        ]
        predictions = replace(predictions, images=tuple(images))
    write_results(predictions, tmp_path, options)

    def identifiers(folder):
        return {
            pydicom.dcmread(path).SOPInstanceUID for path in folder.rglob("measurement_report.dcm")
        }

    assert not identifiers(results) & identifiers(tmp_path)


def test_gray_levels_of_both_interpretations(predictions, phantom_studies, header_of, tmp_path):
    shapes = {}
    for interpretation in ("MONOCHROME1", "MONOCHROME2"):
        path = header_of(
            phantom_studies[0],
            PhotometricInterpretation=interpretation,
            SOPInstanceUID=f"1.2.3.{interpretation[-1]}",
        )
        one = replace(predictions, images=(ScoredImage(path, ()),))
        folder = tmp_path / interpretation
        summary = write_results(one, folder, ResultOptions(objects=("presentation", "capture")))
        assert summary.written == 2
        (state,) = folder.rglob("presentation_state_*.dcm")
        shapes[interpretation] = pydicom.dcmread(state).PresentationLUTShape
    assert shapes == {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}


def test_elements_of_the_patient_may_be_missing(predictions, phantom_studies, header_of, tmp_path):
    path = header_of(
        phantom_studies[0],
        PatientID=None,
        PatientName=None,
        StudyDate=None,
        StudyID=None,
        AccessionNumber=None,
        ImageLaterality=None,
        ViewPosition=None,
        ImagerPixelSpacing=None,
        Modality=None,
        SamplesPerPixel=None,
    )
    one = replace(predictions, images=(scored_with(path),))
    summary = write_results(one, tmp_path / "out")
    assert not summary.problems
    assert summary.written == 4


def test_study_that_memory_runs_out_for_costs_no_other(predictions, tmp_path, monkeypatch):
    from medmask.dicom_results import cad_report

    calls = []

    def fail_first(*args):
        calls.append(args)
        if len(calls) == 1:
            raise MemoryError
        return make(*args)

    make = cad_report.cad_report
    monkeypatch.setattr(cad_report, "cad_report", fail_first)
    summary = write_results(predictions, tmp_path)
    assert (summary.studies, len(summary.failed)) == (1, 1)
    (problem,) = summary.problems
    assert "gets no results: out of memory; run the same command again" in problem
    assert write_results(predictions, tmp_path).studies == 2


def scored_with(path):
    return ScoredImage(path, (Finding((1, 2, 30, 40), 0.9, "mass"),))


def test_patients_of_one_study_must_agree(predictions, phantom_studies, header_of, tmp_path):
    path = header_of(phantom_studies[0], PatientID="SECRET", SOPInstanceUID="1.2.3.4")
    images = (predictions.images[1], scored_with(path))
    summary = write_results(replace(predictions, images=images), tmp_path / "out")
    (problem,) = summary.problems
    assert "different patients" in problem
    assert "SECRET" not in problem
    assert summary.written == 0


def test_a_copy_of_an_image_counts_once(predictions, tmp_path):
    first = predictions.images[0]
    copy = tmp_path / "copy.dcm"
    shutil.copy(first.path, copy)
    options = ResultOptions(objects=("capture",))
    images = (first, replace(first, path=copy))
    summary = write_results(replace(predictions, images=images), tmp_path / "out", options)
    assert (summary.written, summary.problems) == (1, ())
    findings = tuple(replace(x, score=x.score * (1 - 1e-7)) for x in first.findings)
    under_another_id = replace(first, findings=findings, image_id="x")
    images = (first, under_another_id)
    summary = write_results(replace(predictions, images=images), tmp_path / "out", options)
    assert (summary.there_before, summary.problems) == (1, ())
    images = (first, scored_with(copy))
    summary = write_results(replace(predictions, images=images), tmp_path / "other", options)
    assert "different detections" in summary.problems[0]


def test_no_patient_data_in_logs(
    predictions, phantom_studies, header_of, tmp_path, caplog, capsys, recwarn
):
    """highdicom warns of a name like this one, and quotes it."""
    path = header_of(phantom_studies[0], PatientName="SECRET", PatientID="S E C R E T" * 9)
    with caplog.at_level(logging.DEBUG):
        write_results(replace(predictions, images=(scored_with(path),)), tmp_path / "out")
    output = capsys.readouterr()
    texts = [caplog.text, output.out, output.err, *(str(w.message) for w in recwarn)]
    assert not any("SECRET" in text or "S E C R E T" in text for text in texts)
    report = next((tmp_path / "out").rglob("measurement_report.dcm"))
    assert pydicom.dcmread(report).PatientName == "SECRET"


def test_options_are_checked():
    with pytest.raises(InputError, match=r"in \[0, 1\]"):
        ResultOptions(score_threshold=1.5)
    with pytest.raises(InputError, match="objects are some of"):
        ResultOptions(objects=("pdf",))


def test_the_error_of_a_full_disk_keeps_its_number(predictions, tmp_path, monkeypatch):
    """It tells what to do; pydicom makes a traceback of it."""

    class AlmostFull(BytesIO):
        def write(self, data):
            if self.tell() + len(data) > 1000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    monkeypatch.setattr(writing, "atomic_write", lambda path: AlmostFull())
    with pytest.raises(OSError) as caught:  # noqa: PT011 by its number
        write_results(predictions, tmp_path)
    assert caught.value.errno == errno.ENOSPC
