"""Round trips with an archive that fails, and gives or takes other objects than it should."""

import io
import json
from collections import Counter

import pydicom
import pytest
from fake_archive import body, status
from spot_detector import SpotDetector

from medmask.dicomweb.errors import AccessError, UnreachableError
from medmask.pacs.study_visit import MOST_ATTEMPTS

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from round_trips import boxes_of_reports, images_of, make, studies_of


@pytest.fixture(autouse=True)
def full_archive(archive, dated_studies):
    archive.add_files(dated_studies)


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
    problem, note = summary.problems
    assert note.endswith("the archive did not give 1 image: the next run tries again")
    assert words in problem
    assert bad in problem
    assert "SECRET" not in problem
    assert set(good) <= set(boxes_of_reports(archive))
    assert bad not in boxes_of_reports(archive)

    archive.misbehavior.clear()
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert (summary.statuses, summary.before, summary.images) == (Counter(stored=2), 1, 8)
    assert summary.problems == ()
    assert bad in boxes_of_reports(archive)


@pytest.mark.parametrize("count", [1, 4], ids=["one image", "all images"])
def test_archive_that_does_not_give_images_is_asked_five_times(archive, tmp_path, count):
    study = studies_of(archive)[0]
    bad = images_of(archive, study)[:count]
    for uid in bad:
        archive.misbehavior["GET", archive.path_of(uid)] = status(404)
    for run in range(MOST_ATTEMPTS):
        summary, _ = make(archive, tmp_path, objects=("report",))
        assert summary.before == (run > 0)
    expected = Counter(stored=2) if count == 1 else Counter(stored=1, refused=1)
    assert summary.statuses == expected
    assert "in the last of 5 runs, and no other tries again: choose" in summary.problems[-1]
    archive.requests.clear()
    summary, _ = make(archive, tmp_path, objects=("report",))
    assert (summary.statuses, summary.before) == (expected, 2)
    assert summary.problems == ()
    assert not {archive.path_of(uid) for uid in bad} & {path for _, path in archive.requests}


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
    problem, note = summary.problems
    assert "is another object" in problem
    assert "the archive did not give 1 image" in note


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
    assert "the archive did not take 1 object: the next run tries again" in summary.problems[1]


@pytest.mark.parametrize("passes", [True, False], ids=["passes", "does not pass"])
def test_archive_that_does_not_hold_what_it_took(archive, tmp_path, passes):
    study = studies_of(archive)[0]
    archive.misbehavior["POST", f"studies/{study}"] = body(b"{}", "application/dicom+json")
    for _ in range(MOST_ATTEMPTS - passes):
        summary, _ = make(archive, tmp_path, objects=("report",))
    assert "answered 404 (Not Found)" in summary.problems[0]
    assert summary.statuses == Counter(stored=1, **{"failed" if passes else "refused": 1})
    assert ("choose another output folder" in summary.problems[1]) is not passes
    archive.misbehavior.clear()
    detector = SpotDetector()
    summary, _ = make(archive, tmp_path, objects=("report",), detector=detector)
    assert summary.statuses == (Counter(stored=2) if passes else Counter(stored=1, refused=1))
    assert not detector.batches
    summary, _ = make(archive, tmp_path / "other", objects=("report",))
    assert summary.statuses == Counter(stored=2)


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
    assert "came back from the archive changed in 1 element: (0040,A491)" in problem


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
