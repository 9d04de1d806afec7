"""Round trips with an archive that is in this process, and misbehaves."""

import io
import json
import shutil
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from fake_archive import body, status
from spot_detector import SpotDetector

from medmask.dicom_results.options import OBJECTS, ResultOptions
from medmask.dicomweb.client import DicomwebClient
from medmask.dicomweb.connection import Connection, ConnectionOptions
from medmask.dicomweb.errors import AccessError, UnreachableError
from medmask.dicomweb.study_filter import StudyFilter
from medmask.errors import InputError
from medmask.images import read_image
from medmask.pacs.options import RoundTripOptions
from medmask.pacs.round_trip import make_round_trip

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from highdicom import sr
from pydicom.sr.codedict import codes

JANUARY = StudyFilter(study_date="20260101-20260131")
ALL_OF_A_STUDY = 2 + 2 * 4  # two reports, and for each of four images a state and a picture


@pytest.fixture(autouse=True)
def full_archive(archive, dated_studies):
    archive.add_files(dated_studies)


def make(archive, output, *, detector=None, studies=JANUARY, objects=OBJECTS, **options):
    connection = Connection(
        archive.url, options=ConnectionOptions(timeout=2, retries=1, first_wait=0.01)
    )
    lines: list[str] = []
    summary = make_round_trip(
        DicomwebClient(connection),
        detector or SpotDetector(),
        studies,
        output,
        RoundTripOptions(ResultOptions(objects=objects), **{"store": True} | options),
        lines.append,
    )
    return summary, lines


def studies_of(archive):
    return sorted({found.study for found in archive.objects.values()})


def images_of(archive, study):
    return sorted(uid for uid, x in archive.of_modality("MG").items() if x.study == study)


def posts(archive):
    return [path for method, path in archive.requests if method == "POST"]


def boxes_of_reports(archive):
    """{image: box} of all reports in the archive."""
    boxes = {}
    for found in archive.of_modality("SR").values():
        if found.sop_class == "1.2.840.10008.5.1.4.1.1.88.33":
            report = sr.srread(io.BytesIO(found.content))
            for group in report.content.get_planar_roi_measurement_groups():
                points = group.roi.value
                source = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
                (score,) = group.get_measurements(codes.DCM.CertaintyOfFinding)
                box = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
                boxes[str(source.ReferencedSOPInstanceUID)] = (*box, score.value / 100)
    return boxes


def boxes_of_detector(paths):
    detector, boxes = SpotDetector(), {}
    for path in paths:
        dataset = pydicom.dcmread(path)
        pixels = detector.reader.prepare(read_image(path), None)
        (found,) = detector.detect([pixels])
        box = found.pred_boxes.tensor[0].tolist()
        boxes[str(dataset.SOPInstanceUID)] = (*box, float(found.scores[0]))
    return boxes


def test_results_are_in_the_archive(archive, dated_studies, tmp_path):
    summary, lines = make(archive, tmp_path)
    assert (summary.statuses, summary.problems) == (Counter(stored=2), ())
    assert (summary.images, summary.objects) == (8, 2 * ALL_OF_A_STUDY)
    assert len(archive.objects) == 8 + 2 * ALL_OF_A_STUDY
    assert len(lines) == 1 + 2
    found, expected = boxes_of_reports(archive), boxes_of_detector(dated_studies)
    assert found.keys() == expected.keys()
    for uid, box in expected.items():
        assert found[uid] == pytest.approx(box, abs=1e-4)
    assert not list(tmp_path.rglob("images/*.dcm"))


def test_second_run_scores_and_stores_nothing(archive, tmp_path):
    make(archive, tmp_path)
    count, detector = len(posts(archive)), SpotDetector()
    summary, _ = make(archive, tmp_path, detector=detector)
    assert (summary.before, summary.statuses) == (2, Counter(stored=2))
    assert not detector.batches
    assert len(posts(archive)) == count


def test_run_in_another_folder_doubles_nothing_in_the_archive(archive, tmp_path):
    make(archive, tmp_path / "one")
    before = set(archive.objects)
    summary, _ = make(archive, tmp_path / "two")
    assert summary.problems == ()
    assert set(archive.objects) == before


def test_results_are_stored_later(archive, tmp_path):
    summary, _ = make(archive, tmp_path, store=False)
    assert summary.statuses == Counter(scored=2)
    assert not posts(archive)
    detector = SpotDetector()
    summary, _ = make(archive, tmp_path, detector=detector)
    assert summary.statuses == Counter(stored=2)
    assert not detector.batches
    assert len(posts(archive)) == 2 * ALL_OF_A_STUDY


def test_images_are_kept_if_asked_to(archive, dated_studies, tmp_path):
    make(archive, tmp_path, keep_images=True, objects=("report",))
    kept = {path.stem: path.read_bytes() for path in tmp_path.rglob("images/*.dcm")}
    assert kept == {uid: x.content for uid, x in archive.of_modality("MG").items()}


@pytest.mark.parametrize(
    ("misbehavior", "words"),
    [
        (status(404), "answered 404 (Not Found)"),
        (status(500), "answered 500 (Internal Server Error)"),
        (body(b"junk", "text/html"), "something else than a DICOM object"),
        (body(b"--b\r\n\r\nDICM", "multipart/related; boundary=b"), "is cut off"),
        (body(b"", "multipart/related; boundary=b"), "has none in it"),
        (body(b"x" * 200, "application/dicom"), "damaged, or not DICOM"),
    ],
    ids=["404", "500", "html", "cut off", "empty", "junk"],
)  # fmt: skip
def test_image_that_the_archive_does_not_give_costs_no_other(archive, tmp_path, misbehavior, words):
    study = studies_of(archive)[0]
    bad, *good = images_of(archive, study)
    archive.misbehavior["GET", archive.path_of(bad)] = misbehavior
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert summary.statuses == Counter(stored=2)
    assert summary.images == 7
    (problem,) = summary.problems
    assert words in problem
    assert bad in problem
    assert "SECRET" not in problem
    assert set(good) <= set(boxes_of_reports(archive))
    assert bad not in boxes_of_reports(archive)


def test_image_that_is_damaged_inside_costs_no_other(archive, tmp_path):
    study = studies_of(archive)[0]
    bad, _, third, _ = images_of(archive, study)
    found = archive.objects[bad]
    archive.objects[bad] = found._replace(content=found.content[:-1000])
    dataset = pydicom.dcmread(io.BytesIO(archive.objects[third].content))
    dataset.PatientSex = "SECRET"
    content = io.BytesIO()
    dataset.save_as(content)
    archive.objects[third] = archive.objects[third]._replace(content=content.getvalue())
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert summary.statuses == Counter(stored=2)
    assert len(summary.problems) == 2
    assert bad in summary.problems[0]
    assert "PatientSex" in summary.problems[1] or "Sex" in summary.problems[1]
    assert "SECRET" not in "".join(summary.problems)


def test_another_object_than_was_asked_for_is_refused(archive, tmp_path):
    study = studies_of(archive)[0]
    first, second, *_ = images_of(archive, study)
    other = archive.objects[second].content
    archive.misbehavior["GET", archive.path_of(first)] = lambda h: h.reply_parts([other]) is None
    summary, _ = make(archive, tmp_path, objects=("report",))
    (problem,) = summary.problems
    assert "is another object" in problem


def test_study_of_which_nothing_can_be_read_is_refused(archive, tmp_path):
    study = studies_of(archive)[0]
    for uid in images_of(archive, study):
        found = archive.objects[uid]
        archive.objects[uid] = found._replace(content=found.content[:-1000])
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert summary.statuses == Counter(stored=1, refused=1)
    assert len(summary.problems) == 4
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert (summary.before, summary.problems) == (2, ())


def test_study_that_fails_is_done_by_the_next_run(archive, tmp_path):
    study = studies_of(archive)[0]
    third = images_of(archive, study)[2]
    archive.misbehavior["GET", archive.path_of(third)] = status(503)
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert summary.statuses == Counter(failed=1, stored=1)
    assert "503 (Service Unavailable); try again later" in summary.problems[0]
    assert not any(found.study == study for found in archive.of_modality("SR").values())

    archive.misbehavior.clear()
    archive.requests.clear()
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert (summary.statuses, summary.before) == (Counter(stored=2), 1)
    images = {archive.path_of(uid) for uid in images_of(archive, study)}
    retrieved = [path for _, path in archive.requests if path in images]
    assert archive.path_of(third) in retrieved
    assert len(retrieved) == 2  # it, and the fourth, which had not been fetched


def test_server_that_fails_on_all_images_is_at_fault_itself(archive, tmp_path):
    study = studies_of(archive)[0]
    for uid in images_of(archive, study):
        archive.misbehavior["GET", archive.path_of(uid)] = status(500)
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert summary.statuses == Counter(failed=1, stored=1)


def test_object_that_the_archive_does_not_take_fails_the_study(archive, tmp_path):
    study = studies_of(archive)[0]
    reply = {"00081198": {"vr": "SQ", "Value": []}}

    def refuse(handler):
        posted = pydicom.dcmread(next(tmp_path.rglob(f"studies/{study}/**/measurement_report.dcm")))
        failed = {
            "00081155": {"vr": "UI", "Value": [str(posted.SOPInstanceUID)]},
            "00081197": {"vr": "US", "Value": [0x0122]},
        }
        content = json.dumps(reply | {"00081198": {"vr": "SQ", "Value": [failed]}}).encode()
        handler.reply(202, "application/dicom+json", content)
        return True

    archive.misbehavior["POST", f"studies/{study}"] = refuse
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert summary.statuses == Counter(failed=1, stored=1)
    assert "measurement_report.dcm is not stored" in summary.problems[0]
    assert "failure reason 0122H" in summary.problems[0]


def test_object_that_comes_back_changed_is_told(archive, tmp_path):
    study = studies_of(archive)[0]

    def change(handler):
        uid = next(uid for uid, x in archive.of_modality("SR").items() if x.study == study)
        dataset = pydicom.dcmread(io.BytesIO(archive.objects[uid].content))
        dataset.PatientName = "Other^Name"  # archives may do so
        dataset.CompletionFlag = "PARTIAL"
        content = io.BytesIO()
        dataset.save_as(content)
        handler.reply_parts([content.getvalue()])
        return True

    def watch(handler):
        found = [x for x in archive.of_modality("SR") if archive.objects[x].study == study]
        archive.misbehavior.update({("GET", archive.path_of(uid)): change for uid in found})
        return False

    series = f"studies/{studies_of(archive)[1]}/series"
    make(archive, tmp_path / "first", objects=("report",))
    archive.misbehavior["GET", series] = watch
    summary, _ = make(archive, tmp_path / "second", objects=("report",))
    assert summary.statuses == Counter(stored=2)
    (problem,) = summary.problems
    assert "came back from the archive changed in 1 elements: (0040,A491)" in problem


def test_new_images_of_a_study_are_scored(archive, dated_studies, tmp_path):
    study = studies_of(archive)[0]
    late = images_of(archive, study)[3]
    waiting = archive.objects.pop(late)
    make(archive, tmp_path, objects=("report",))
    archive.objects[late] = waiting
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert (summary.before, summary.statuses, summary.images) == (1, Counter(stored=2), 8)
    assert late in boxes_of_reports(archive)
    reports = [x for x in archive.of_modality("SR").values() if x.study == study]
    assert len(reports) == 2  # one about three images, and one about four


def test_image_that_left_the_archive_leaves_the_results(archive, tmp_path):
    study = studies_of(archive)[0]
    make(archive, tmp_path, objects=("report", "presentation"), store=False)
    gone = images_of(archive, study)[1]
    del archive.objects[gone]
    summary, _ = make(archive, tmp_path, objects=("report", "presentation"))
    assert (summary.statuses, summary.images) == (Counter(stored=2), 7)
    assert summary.problems == ()
    assert gone not in boxes_of_reports(archive)
    assert len(archive.of_modality("PR")) == 7


@pytest.mark.parametrize("damaged", ["results", "predictions"])
def test_what_is_lost_in_the_output_folder_is_made_again(archive, tmp_path, damaged):
    study = studies_of(archive)[0]
    make(archive, tmp_path, objects=("report",), store=False)
    shutil.rmtree(tmp_path / "studies" / study / "results")
    if damaged == "predictions":
        (tmp_path / "studies" / study / "predictions" / "predictions.jsonl").write_text("junk\n")
    detector = SpotDetector()
    summary, _ = make(archive, tmp_path, objects=("report",), detector=detector)
    assert (summary.statuses, summary.problems) == (Counter(stored=2), ())
    assert len(detector.batches) == (4 if damaged == "predictions" else 0)
    assert len(boxes_of_reports(archive)) == 8


def test_archive_out_of_reach_ends_the_run(archive, dated_studies, tmp_path):
    for index in range(6):
        for path in dated_studies[:1]:
            dataset = pydicom.dcmread(path)
            dataset.StudyInstanceUID = f"1.2.3.{index}"
            dataset.SOPInstanceUID = f"1.2.3.{index}.1"
            content = io.BytesIO()
            dataset.save_as(content)
            archive.add(content.getvalue())
    for study in studies_of(archive):
        archive.misbehavior["GET", f"studies/{study}/series"] = status(503)
    with pytest.raises(UnreachableError, match="5 studies in a row cannot be fetched"):
        make(archive, tmp_path)


def test_user_whom_the_archive_does_not_know_ends_the_run(archive, tmp_path):
    archive.authorization = "Basic somebody-else"
    with pytest.raises(AccessError, match=r"answered 401 \(Unauthorized\): give a user"):
        make(archive, tmp_path)


@pytest.mark.parametrize(
    ("studies", "count"),
    [
        (StudyFilter(study_date="20260102"), 1),
        (StudyFilter(study_date="20270101-"), 0),
        (StudyFilter(patient_id="film_val_0000[1]"), 0),
        (StudyFilter(patient_id="film*1", study_date="20260101-20260102"), 1),
    ],
    ids=["date", "no date", "brackets", "patient"],
)
def test_studies_that_were_not_asked_for_are_left_alone(archive, tmp_path, studies, count):
    # this archive passes over all conditions but the patient
    summary, _ = make(archive, tmp_path, studies=studies, objects=("report",))
    assert summary.studies == count


def test_objects_of_other_kinds_are_passed_over(archive, tmp_path):
    study = studies_of(archive)[0]
    first, second, third, _ = images_of(archive, study)
    for uid, sop_class in (
        (first, "1.2.840.10008.5.1.4.1.1.1.2.1"),
        (second, "1.2.840.10008.5.1.4.1.1.13.1.3"),
    ):
        archive.objects[uid] = archive.objects[uid]._replace(sop_class=sop_class)
    archive.objects[third] = archive.objects[third]._replace(modality="US")
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert (summary.images, summary.problems) == (5, ())

    for uid in images_of(archive, studies_of(archive)[1]):
        found = archive.objects[uid]
        archive.objects[uid] = found._replace(sop_class="1.2.840.10008.5.1.4.1.1.1.2.1")
    summary, _ = make(archive, tmp_path / "other", objects=("report",))
    assert summary.statuses == Counter(stored=1, refused=1)
    assert "has no mammogram for presentation (4 mammograms for processing)" in summary.problems[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objects": ("cad",)}, "objects=['report'], but now objects=['cad']"),
        ({"weights": "def"}, "weights=abc, but now weights=def"),
    ],
    ids=["objects", "weights"],
)
def test_other_settings_are_refused(archive, tmp_path, change, words):
    make(archive, tmp_path, objects=("report",), store=False)
    weights = change.pop("weights", "abc")

    class Other(SpotDetector):
        def settings(self):
            return {"weights": weights}

    with pytest.raises(InputError) as caught:
        make(archive, tmp_path, detector=Other(), **{"objects": ("report",)} | change)
    assert words in str(caught.value)


def test_files_hold_nothing_of_the_patient_but_objects(archive, tmp_path):
    make(archive, tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".dcm":
            assert b"SECRET" not in path.read_bytes(), path
            assert b"film_val" not in path.read_bytes(), path
    assert Path(tmp_path / "studies.jsonl").exists()
