"""Round trips with an archive that is in this process."""

import json
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pydicom
import pytest
from spot_detector import SpotDetector
from toy_image_detector import ForgetfulDetector

from medmask.dicomweb.study_filter import StudyFilter
from medmask.errors import InputError
from medmask.images import read_image
from medmask.pacs.study_records import StudyRecord, open_study_records
from medmask.pacs.study_visit import MOST_ATTEMPTS

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from round_trips import boxes_of_reports, images_of, make, studies_of

ALL_OF_A_STUDY = 2 + 2 * 4  # two reports, and for each of four images a state and a picture


@pytest.fixture(autouse=True)
def full_archive(archive, dated_studies):
    archive.add_files(dated_studies)


def posts(archive):
    return [path for method, path in archive.requests if method == "POST"]


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


def test_setting_that_is_told_no_more_is_another(tmp_path):
    with open_study_records(tmp_path) as records:
        records.start({"weights": "abc", "model": "of an exported file"})
    with (
        open_study_records(tmp_path) as records,
        pytest.raises(InputError, match="model=of an exported file, but now model=None"),
    ):
        records.start({"weights": "abc"})


@pytest.mark.parametrize("fails", [{1, 2, 3, 4}, {2}], ids=["on all images", "on one image"])
def test_failure_of_the_model_that_passes(archive, tmp_path, fails):
    study = studies_of(archive)[0]
    made = {"objects": ("report",), "studies": StudyFilter(study_uid=study)}
    summary, _ = make(archive, tmp_path, detector=ForgetfulDetector(fails), **made)
    failed = len(fails)
    assert summary.statuses == (Counter(failed=1) if failed == 4 else Counter(stored=1))
    assert summary.images == 4 - failed
    assert "the next run tries again" in " ".join(summary.problems)
    detector = ForgetfulDetector(())
    summary, _ = make(archive, tmp_path, detector=detector, **made)
    assert (summary.statuses, summary.images) == (Counter(stored=1), 4)
    assert (summary.problems, detector.calls) == ((), failed)
    assert len(boxes_of_reports(archive)) == 4
    summary, _ = make(archive, tmp_path, **made)
    assert summary.before == 1


def test_failure_of_the_model_that_does_not_pass(archive, tmp_path):
    study = studies_of(archive)[0]
    made = {"objects": ("report",), "studies": StudyFilter(study_uid=study)}
    for _ in range(MOST_ATTEMPTS):
        summary, _ = make(archive, tmp_path, detector=ForgetfulDetector(range(99)), **made)
    assert summary.statuses == Counter(refused=1)
    assert f"failed on 4 images in the last of {MOST_ATTEMPTS} runs" in " ".join(summary.problems)
    summary, _ = make(archive, tmp_path, **made)
    assert (summary.before, summary.statuses) == (1, Counter(refused=1))


def test_memory_that_runs_out_for_the_results(archive, tmp_path, monkeypatch):
    def fail(*args):
        raise MemoryError

    made = {"studies": StudyFilter(study_uid=studies_of(archive)[0])}
    with monkeypatch.context() as patch:
        patch.setattr("medmask.dicom_results.secondary_capture.secondary_capture", fail)
        summary, _ = make(archive, tmp_path, **made)
    assert (summary.statuses, len(posts(archive))) == (Counter(failed=1), 0)
    assert "ran out for the results of 4 images: the next run tries again" in summary.problems[-1]
    detector = SpotDetector()
    summary, _ = make(archive, tmp_path, detector=detector, **made)
    assert (summary.statuses, summary.problems) == (Counter(stored=1), ())
    assert not detector.batches


def test_record_of_an_earlier_version_is_read(tmp_path):
    record = asdict(StudyRecord("1.2.3", "scored", ("1.2.3.4",), 1, 2))
    del record["attempts"]
    with open_study_records(tmp_path) as records:
        records.start({})
    with open(tmp_path / "studies.jsonl", "a") as file:
        file.write(json.dumps(record) + "\n")
    with open_study_records(tmp_path) as records:
        records.start({})
        assert records.last["1.2.3"].attempts == 0


@pytest.mark.parametrize("field", ["instances", "problems", "attempts"])
def test_damaged_record_is_named(tmp_path, field):
    record = asdict(StudyRecord("1.2.3", "scored")) | {field: None}
    with open_study_records(tmp_path) as records:
        records.start({})
    with open(tmp_path / "studies.jsonl", "a") as file:
        file.write(json.dumps(record) + "\n")
    with (
        open_study_records(tmp_path) as records,
        pytest.raises(InputError, match=r"studies\.jsonl is damaged at line 2"),
    ):
        records.start({})


def test_files_hold_nothing_of_the_patient_but_objects(archive, tmp_path):
    make(archive, tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".dcm":
            assert b"SECRET" not in path.read_bytes(), path
            assert b"film_val" not in path.read_bytes(), path
    assert Path(tmp_path / "studies.jsonl").exists()
