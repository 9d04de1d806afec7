"""From the images of a study to its results."""

import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from medmask.dicom_results import read_predictions, write_results
from medmask.errors import InputError
from medmask.inference import PredictionOptions, predict_images
from medmask.inference.detector import Detector
from medmask.inference.prediction_images import PredictionImage, images_of_files
from medmask.inference.prediction_run import PredictionSummary
from medmask.node.options import NodeOptions
from medmask.node.spool import StudyFolder
from medmask.node.study_status import FAILED, SCORING, SENDING
from medmask.utils.counts import counted
from medmask.utils.failures import is_out_of_memory

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 5
"""A study is scored this often while the node is killed, the model fails or memory runs out."""


class _Outcome(NamedTuple):
    """Outcome of scoring the images of a study."""

    has_results: bool
    problems: list[str]
    failed: frozenset[str] = frozenset()
    """SOP Instance UIDs of images on which another attempt may succeed"""
    reason: str = ""
    """why that is, as the predicate of a sentence on the study"""


def score_study(study: StudyFolder, detector: Detector, options: NodeOptions) -> bool:
    """Detect in all images of a study, and write its results for the sending.

    What an earlier attempt has done is not done again. Images on which the model failed, and all
    if memory ran out for the results, are left out of the images of the status, whose attempts stay
    counted, as long as they may be tried again.

    Args:
        study: its folder.
        detector: the detector.
        options: of the results.

    Returns:
        True if there are results. If not, the status says why.

    Raises:
        OSError: the folder cannot be written to; the study may be tried again.
    """
    images = study.images()
    with study.change_status() as status:
        status.state = SCORING
        status.attempts += 1
        attempts = status.attempts
    if attempts > MOST_ATTEMPTS:
        problem = (
            f"study {study.uid} is set aside: the node ended, the model failed, or memory ran out, "
            f"{MOST_ATTEMPTS} times while it was scored; look for an image that takes too much "
            "memory"
        )
        outcome = _Outcome(False, [problem])
    else:
        try:
            outcome = _score(study, images.values(), detector, options)
        except BaseException:  # of the disk, or a signal: not the study's
            with study.change_status() as status:
                status.attempts -= 1
            raise
    left: frozenset[str] = frozenset()  # to be tried again
    if outcome.failed and attempts < MOST_ATTEMPTS:
        left = outcome.failed
    elif outcome.failed:
        outcome.problems.append(
            f"study {study.uid}: {outcome.reason} in the last of {MOST_ATTEMPTS} attempts, and it "
            "is not tried again"
        )
    with study.change_status() as status:
        status.state = SENDING if outcome.has_results else SCORING if left else FAILED
        status.attempts = attempts if left else 0
        status.images = [uid for uid in images if uid not in left]
        status.problems = outcome.problems
    _log_problems(study.uid, outcome.problems, images, left)
    return outcome.has_results


def _log_problems(
    study: str, problems: Iterable[str], images: Mapping[str, Path], left: Collection[str]
) -> None:
    """Say which images have problems; the sentences themselves may quote the header."""
    for problem in problems:
        # by the name of the file, as the identifier of one image may begin that of another
        uid = next((x for x, path in images.items() if f"{os.sep}{path.name}" in problem), None)
        named = f"study {study}" if uid is None else f"image {uid} of study {study}"
        what = "is left to be tried again" if uid in left else "is set aside"
        logger.warning(f"{named} {what}: the study's status.json says why")


def _score(
    study: StudyFolder, images: Collection[Path], detector: Detector, options: NodeOptions
) -> _Outcome:
    """Score the images; whatever goes wrong is a sentence."""
    predictions = study.predictions / _digest(detector, options)
    problems: list[str] = []
    failed: frozenset[str] = frozenset()
    reason = ""
    try:
        summary = _predict(detector, images_of_files(images), predictions, options)
        problems += summary.problems
        failed = frozenset(Path(path).stem for path in summary.failed)
        reason = f"the model failed on {counted(len(failed), 'image')}"
        if len(summary.problems) == summary.images:
            return _Outcome(False, problems, failed, reason)
        written = write_results(read_predictions(predictions), study.results, options.results)
    except InputError as error:
        return _Outcome(False, [*problems, str(error)], failed, reason)
    except OSError:
        raise
    except Exception as error:  # its text may quote the header
        problem = f"study {study.uid} cannot be scored ({type(error).__name__})"
        if is_out_of_memory(error):
            failed, reason = _all(images), "memory ran out"
        return _Outcome(False, [*problems, problem], failed, reason)
    problems += [problem for problem in written.problems if problem not in problems]
    if written.failed:
        failed, reason = _all(images), "memory ran out while its results were written"
    return _Outcome(written.studies > 0, problems, failed, reason)


def _all(images: Iterable[Path]) -> frozenset[str]:
    return frozenset(path.stem for path in images)


def _predict(
    detector: Detector, images: Sequence[PredictionImage], folder: Path, options: NodeOptions
) -> PredictionSummary:
    """Predict on images; of those that came before, and are done, nothing is left to do."""
    predict = partial(
        predict_images,
        detector,
        images,
        folder,
        options=PredictionOptions(overlays=False, batch_size=options.batch_size, formats=()),
        calibration=options.calibration,
    )
    try:
        return predict()
    except InputError:  # the record is damaged, or was written where the spool was before
        return predict(overwrite=True)


def _digest(detector: Detector, options: NodeOptions) -> str:
    """Name a folder after what predictions depend on."""
    settings = detector.settings()
    if options.calibration is not None:
        settings |= {"calibration": options.calibration.settings()}
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
