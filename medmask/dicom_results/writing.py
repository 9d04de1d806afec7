"""Results of all studies as files, whatever one of them does."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.dicom_results.highdicom_import import check_highdicom, without_patient_data_in_logs
from medmask.dicom_results.options import ResultOptions
from medmask.dicom_results.predictions import Predictions
from medmask.dicom_results.source_image import SourceImage, read_source_image
from medmask.dicom_results.study import Study, group_studies
from medmask.errors import InputError
from medmask.utils.dicom_files import encode_dicom
from medmask.utils.failures import is_out_of_memory
from medmask.utils.files import atomic_write, check_output_folder, remove_abandoned_files
from medmask.utils.progress import with_progress

if TYPE_CHECKING:
    from pydicom import Dataset

    from medmask.dicom_results.identity import Identity

_DATES = (  # of the object; those of the study are copied
    ("InstanceCreationDate", "InstanceCreationTime"),
    ("SeriesDate", "SeriesTime"),
    ("ContentDate", "ContentTime"),
    ("PresentationCreationDate", "PresentationCreationTime"),
    ("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
)


@dataclass(frozen=True)
class ResultsSummary:
    """Outcome of a run.

    Attributes:
        studies: how many have results.
        written: files that were written.
        there_before: files that were there already.
        problems: one sentence for each image or study that has none.
        failed: Study Instance UIDs of those that memory ran out for, so that another run may
            succeed.
    """

    studies: int
    written: int
    there_before: int
    problems: tuple[str, ...]
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Planned:
    """An object that is not made yet."""

    path: Path
    uid: str
    make: Callable[[], "Dataset"]


def write_results(
    predictions: Predictions,
    output_dir: Path,
    options: ResultOptions | None = None,
    *,
    show_progress: bool = True,
) -> ResultsSummary:
    """Write the DICOM results of each study into a folder of its name.

    ``OUTPUT/STUDY/measurement_report.dcm`` and ``cad_report.dcm``, and for each image
    ``presentation_state_IMAGE.dcm`` and ``secondary_capture_IMAGE.dcm``; STUDY and IMAGE are
    unique identifiers. A file that is there already with the same identifier is left alone.

    Args:
        predictions: detections on the images.
        output_dir: where to write.
        options: threshold and kinds of objects; the defaults if None.
        show_progress: whether to tell how far it is.

    Raises:
        InputError: highdicom is missing.
        OSError: the folder cannot be written to.
    """
    check_highdicom()
    from medmask.dicom_results.identity import Identity

    options = options or ResultOptions()
    check_output_folder(output_dir)
    remove_abandoned_files(output_dir)
    identity = Identity(
        predictions.weights,
        options.score_threshold,
        predictions.made,
        predictions.categories,
        predictions.calibration,
    )
    problems = list(predictions.problems)
    failed = []
    with without_patient_data_in_logs():
        images = list(_read_images(predictions, options, problems))
        studies, contradictions = group_studies(images)
        problems += contradictions
        files: Counter[bool] = Counter()  # by whether they were missing
        done = 0
        for study in with_progress(
            studies, "writing", "study", "studies", show_progress=show_progress
        ):
            try:
                for planned in _plan(study, output_dir / study.uid, identity, options):
                    files[_write_if_missing(planned, identity.made)] += 1
                done += 1
            except InputError as error:
                problems.append(str(error))
            except OSError:  # of the folder: the other studies would fail, too
                raise
            except Exception as error:  # its text may quote the header
                problems.append(_describe(study, error))
                if is_out_of_memory(error):
                    failed.append(study.uid)
    return ResultsSummary(
        studies=done,
        written=files[True],
        there_before=files[False],
        problems=tuple(problems),
        failed=tuple(failed),
    )


def _describe(study: Study, error: Exception) -> str:
    """Write a sentence on a study whose results cannot be made."""
    name = f"the study of {study.images[0].path} gets no results"
    if is_out_of_memory(error):
        return f"{name}: out of memory; run the same command again where more of it is free"
    return (
        f"{name} ({type(error).__name__} in highdicom): an element of that or another image of it "
        "is not as the standard wants it; validate their headers"
    )


def _read_images(
    predictions: Predictions, options: ResultOptions, problems: list[str]
) -> Iterator[SourceImage]:
    texts = [*predictions.categories, predictions.calibration or ""]
    beyond_ascii = not "".join(texts).isascii()
    for scored in predictions.images:
        try:
            yield read_source_image(scored, options.score_threshold, beyond_ascii=beyond_ascii)
        except InputError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"image {scored.path} cannot be read: {error.strerror}")


def _plan(
    study: Study, folder: Path, identity: "Identity", options: ResultOptions
) -> Iterator[_Planned]:
    from medmask.dicom_results.cad_report import cad_report
    from medmask.dicom_results.measurement_report import measurement_report
    from medmask.dicom_results.presentation_state import presentation_state
    from medmask.dicom_results.secondary_capture import secondary_capture

    of_study = {
        "report": ("measurement_report.dcm", measurement_report),
        "cad": ("cad_report.dcm", cad_report),
    }
    of_image = {
        "presentation": ("presentation_state", presentation_state),
        "capture": ("secondary_capture", secondary_capture),
    }
    for kind, (name, make) in of_study.items():
        if kind in options.objects:
            uid = identity.object_uid(kind, study.images)
            yield _Planned(folder / name, uid, partial(make, study, identity))
    for kind, (name, make_one) in of_image.items():
        for number, image in enumerate(study.images, start=1):
            if kind in options.objects:
                uid = identity.object_uid(kind, [image])
                path = folder / f"{name}_{image.uid}.dcm"
                yield _Planned(path, uid, partial(make_one, image, number, identity))


def _write_if_missing(planned: _Planned, made: datetime) -> bool:
    """Write an object, and tell whether it was missing."""
    if _is_written(planned):
        return False
    _write(planned, made)
    return True


def _is_written(planned: _Planned) -> bool:
    from pydicom import dcmread

    try:
        header = dcmread(planned.path, specific_tags=["SOPInstanceUID"])
        return str(header.SOPInstanceUID) == planned.uid
    except Exception:  # absent or damaged
        return False


def _write(planned: _Planned, made: datetime) -> None:
    dataset = planned.make()
    _set_dates(dataset, made)
    content = encode_dicom(dataset)
    with atomic_write(planned.path) as file:
        file.write(content)


def _set_dates(dataset: "Dataset", made: datetime) -> None:
    """Replace the time of writing, so that another run writes the same bytes."""
    for date, time in _DATES:
        if date in dataset or date == "SeriesDate":
            setattr(dataset, date, made.strftime("%Y%m%d"))
            setattr(dataset, time, made.strftime("%H%M%S"))
    for item in dataset.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            item.ContributionDateTime = made.strftime("%Y%m%d%H%M%S")
