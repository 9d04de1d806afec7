"""One study: from its images in the archive to its results there."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from medmask.dicom_results import read_predictions, write_results
from medmask.dicomweb.client import DicomwebClient
from medmask.dicomweb.errors import RefusedError, UnreachableError
from medmask.errors import InputError
from medmask.inference.detector import Detector
from medmask.inference.options import PredictionOptions
from medmask.inference.prediction_images import PredictionImage
from medmask.inference.prediction_run import PredictionSummary, predict_images
from medmask.pacs.fetching import fetch_images, find_wrong_image
from medmask.pacs.mammograms import choose_mammograms
from medmask.pacs.options import RoundTripOptions
from medmask.pacs.storing import store_results
from medmask.pacs.study_records import FAILED, REFUSED, SCORED, STORED, StudyRecord
from medmask.utils.counts import counted

IMAGES, PREDICTIONS, RESULTS = "images", "predictions", "results"
"""Folders of a study."""

MOST_ATTEMPTS = 5
"""Runs in a row that try a study of which something fails that may pass."""


@dataclass(frozen=True)
class Fetched:
    """A study that was looked for in the archive.

    Attributes:
        instances: SOP Instance UIDs of its images that are to be scored.
        paths: files of those that the archive gave.
        problems: a sentence for each of the others.
        before: the record of an earlier run, if nothing is left to fetch and to score.
        failure: a sentence, if the archive did not answer.
    """

    instances: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()
    before: StudyRecord | None = None
    failure: str | None = None


def fetch_study(
    client: DicomwebClient, study: str, before: StudyRecord | None, folder: Path
) -> Fetched:
    """Look what images a study has, and fetch them unless an earlier run has scored all of them.

    Args:
        client: of the archive.
        study: Study Instance UID.
        before: the record of the earlier run, if there was one.
        folder: of the study.

    Raises:
        AccessError: the archive does not let us in.
    """
    try:
        found = client.find_mammograms(study)
        mammograms = choose_mammograms(found.matches)
        instances = tuple(sorted(x.name.instance for x in mammograms.chosen))
        if before is not None and before.instances == instances and _is_whole(before, folder):
            return Fetched(instances, before=before)
        fetched = fetch_images(client, mammograms.chosen, folder / IMAGES)
    except (UnreachableError, RefusedError) as error:
        return Fetched(failure=str(error))
    if fetched.is_server_at_fault:
        return Fetched(instances, failure=fetched.problems[0])
    problems = (*found.problems, *fetched.problems)
    if not instances:
        passed_over = ", ".join(f"{n} {what}" for what, n in mammograms.passed_over.items())
        note = f"study {study} has no mammogram for presentation ({passed_over or 'none at all'})"
        problems = (*problems, note)
    return Fetched(instances, fetched.paths, problems)


def score_study(
    detector: Detector,
    study: str,
    fetched: Fetched,
    folder: Path,
    options: RoundTripOptions,
    *,
    attempts: int = 0,
) -> StudyRecord:
    """Score the images of a study and write its results.

    Args:
        detector: the detector.
        study: Study Instance UID.
        fetched: its images.
        folder: of the study.
        options: of the results.
        attempts: how many runs before this one have left something to be tried again.

    Returns:
        A record whose status is not ``stored`` yet.

    Raises:
        OSError: the folder cannot be written to.
    """
    if fetched.failure is not None:
        return StudyRecord(study, FAILED, problems=(fetched.failure,), attempts=attempts)
    wrong = {path: find_wrong_image(path, study) for path in fetched.paths}
    paths = [path for path, problem in wrong.items() if problem is None]
    problems = (*fetched.problems, *filter(None, wrong.values()))
    record = StudyRecord(study, REFUSED, fetched.instances, problems=problems)
    left = {"the archive did not give": set(fetched.instances) - {path.stem for path in paths}}
    if paths:
        record, failed = _score(detector, record, paths, folder, options)
        left |= failed
    return _try_again(record, left, attempts + 1)


def store_study(
    client: DicomwebClient, record: StudyRecord, folder: Path, *, attempts: int = 0
) -> StudyRecord:
    """Store the results of a study, which may be there already, and fetch them again.

    Args:
        client: of the archive.
        record: of the study, ``scored``.
        folder: of the study.
        attempts: how many runs before this one have left something to be tried again.

    Returns:
        The record: ``stored`` if all results are in the archive, else ``failed``, and in the end
        ``refused``.

    Raises:
        AccessError: the archive does not let us in.
    """
    try:
        stored = store_results(client, record.study, _results(folder))
    except UnreachableError as error:
        return replace(record, status=FAILED, problems=(*record.problems, str(error)))
    problems = (*record.problems, *stored.refused, *stored.changed)
    if not stored.refused:
        return replace(record, status=STORED, problems=problems)
    what = f"the archive did not take {counted(len(stored.refused), 'object')}"
    note = _note(record.study, what, attempts + 1)
    is_last = attempts + 1 >= MOST_ATTEMPTS
    return replace(
        record,
        status=REFUSED if is_last else FAILED,
        problems=(*problems, note),
        attempts=0 if is_last else attempts + 1,
    )


def _score(
    detector: Detector,
    record: StudyRecord,
    paths: Iterable[Path],
    folder: Path,
    options: RoundTripOptions,
) -> tuple[StudyRecord, dict[str, set[str]]]:
    """Score images and write the results; tell what a later run may do better, and why."""
    summary = _predict(detector, paths, folder, options)
    left = {"the model failed on": {Path(path).stem for path in summary.failed}}
    done = summary.images - len(summary.problems)
    if not done:
        return replace(record, problems=(*record.problems, *summary.problems)), left
    predictions = read_predictions(folder / PREDICTIONS)
    results = write_results(predictions, folder / RESULTS, options.results, show_progress=False)
    if results.failed:
        left = {"memory ran out for the results of": {path.stem for path in paths}}
    problems = (*record.problems, *results.problems)
    if not results.studies:
        return replace(record, done=done, problems=problems), left
    objects = results.written + results.there_before
    return replace(record, status=SCORED, done=done, objects=objects, problems=problems), left


def _try_again(record: StudyRecord, left: Mapping[str, set[str]], attempts: int) -> StudyRecord:
    """Leave images that may turn out better to the next run, but not for ever.

    Args:
        record: of the study, with all images.
        left: SOP Instance UIDs of such images, by what happened to them.
        attempts: how many runs in a row have left any.
    """
    uids = set().union(*left.values())
    if not uids:
        return record
    what = " and ".join(f"{why} {counted(len(x), 'image')}" for why, x in left.items() if x)
    record = replace(record, problems=(*record.problems, _note(record.study, what, attempts)))
    if attempts >= MOST_ATTEMPTS:
        return record
    return replace(
        record,
        status=record.status if record.status == SCORED else FAILED,
        instances=tuple(uid for uid in record.instances if uid not in uids),
        attempts=attempts,
    )


def _note(study: str, what: str, attempts: int) -> str:
    """Write a sentence on what has failed, and may pass."""
    if attempts < MOST_ATTEMPTS:
        return f"study {study}: {what}: the next run tries again"
    return (
        f"study {study}: {what} in the last of {attempts} runs, and no other tries again: choose "
        "another output folder to have it tried"
    )


def _is_whole(before: StudyRecord, folder: Path) -> bool:
    """Tell whether an earlier run has fetched and scored all, and its results are there."""
    if before.status == SCORED:
        return len(_results(folder)) >= before.objects
    return before.status != FAILED


def _results(folder: Path) -> list[Path]:
    return sorted((folder / RESULTS).rglob("*.dcm"))


def _predict(
    detector: Detector, paths: Iterable[Path], folder: Path, options: RoundTripOptions
) -> PredictionSummary:
    images = [
        PredictionImage(path, path.name, image_id=path.stem, is_archived=True) for path in paths
    ]
    predict = partial(
        predict_images,
        detector,
        images,
        folder / PREDICTIONS,
        options=PredictionOptions(overlays=False),
        calibration=options.calibration,
        report=_say_nothing,
    )
    try:
        return predict()
    except InputError:  # the record is damaged, or on an image that the archive gives no more
        shutil.rmtree(folder / RESULTS, ignore_errors=True)
        return predict(overwrite=True)


def _say_nothing(line: str) -> None:
    """Take the place of progress on images: that on studies is shown."""
