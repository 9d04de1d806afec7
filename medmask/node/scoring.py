"""From the images of a study to its results."""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from medmask.dicom_results import read_predictions, write_results
from medmask.errors import InputError
from medmask.inference import PredictionOptions, predict_images
from medmask.inference.detector import Detector
from medmask.inference.prediction_images import PredictionImage, images_of_files
from medmask.inference.prediction_run import PredictionSummary
from medmask.node.options import NodeOptions
from medmask.node.spool import StudyFolder
from medmask.node.study_status import FAILED, SCORING, SENDING

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 5
"""A study is set aside when the node was killed this often while it was scored."""


def score_study(study: StudyFolder, detector: Detector, options: NodeOptions) -> bool:
    """Detect in all images of a study, and write its results for the sending.

    What an earlier attempt has done is not done again.

    Args:
        study: its folder.
        detector: the detector.
        options: of the results.

    Returns:
        Whether there are results. If not, the status says why.

    Raises:
        OSError: the folder cannot be written to; the study may be tried again.
    """
    images = study.images()
    with study.change_status() as status:
        status.state = SCORING
        status.attempts += 1
        attempts = status.attempts
    if attempts > MOST_ATTEMPTS:
        problems = [
            f"study {study.uid} is set aside: the node ended {MOST_ATTEMPTS} times while it was "
            "scored; look for an image that takes too much memory"
        ]
        has_results = False
    else:
        try:
            has_results, problems = _score(study, images.values(), detector, options)
        except BaseException:  # of the disk, or a signal: not the study's
            with study.change_status() as status:
                status.attempts -= 1
            raise
    with study.change_status() as status:
        status.state = SENDING if has_results else FAILED
        status.attempts = 0
        status.images = list(images)
        status.problems = problems
    for problem in problems:  # which may quote the header
        named = next((f"image {uid} of " for uid in images if uid in problem), "")
        logger.warning(f"{named}study {study.uid} is set aside: the study's status.json says why")
    return has_results


def _score(
    study: StudyFolder, images: Iterable[Path], detector: Detector, options: NodeOptions
) -> tuple[bool, list[str]]:
    """Score the images; tell whether there are results, and what went wrong."""
    predictions = study.predictions / _digest(detector, options)
    problems: list[str] = []
    try:
        summary = _predict(detector, images_of_files(images), predictions, options)
        problems += summary.problems
        if len(summary.problems) == summary.images:
            return False, problems
        written = write_results(read_predictions(predictions), study.results, options.results)
    except InputError as error:
        return False, [*problems, str(error)]
    except OSError:
        raise
    except Exception as error:  # its text may quote the header
        return False, [*problems, f"study {study.uid} cannot be scored ({type(error).__name__})"]
    problems += [problem for problem in written.problems if problem not in problems]
    return written.studies > 0, problems


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
