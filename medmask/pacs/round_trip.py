"""All studies that are looked for, whatever one of them does."""

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medmask.dicom_results.highdicom_import import check_highdicom
from medmask.dicomweb.client import DicomwebClient
from medmask.dicomweb.errors import UnreachableError
from medmask.dicomweb.study_filter import StudyFilter
from medmask.inference.detector import Detector
from medmask.pacs.fetching import work_ahead
from medmask.pacs.options import RoundTripOptions
from medmask.pacs.study_records import (
    FAILED,
    SCORED,
    StudyRecord,
    StudyRecords,
    open_study_records,
)
from medmask.pacs.study_visit import (
    IMAGES,
    Fetched,
    fetch_study,
    score_study,
    store_study,
)
from medmask.utils.counts import counted
from medmask.utils.files import check_output_folder, remove_abandoned_files
from medmask.utils.job_progress import JobProgress

_STUDIES_AHEAD = 2
_MOST_FAILURES = 5
"""Studies in a row that fail before the archive is taken to be out of reach."""


@dataclass(frozen=True)
class RoundTripSummary:
    """Outcome of a run.

    Attributes:
        statuses: how many studies have which, those of earlier runs among them.
        before: how many studies an earlier run had finished.
        images: scored in this run or before, of all studies.
        objects: results of all studies.
        problems: sentences on this run's searches, images and objects.
    """

    statuses: Counter[str]
    before: int
    images: int
    objects: int
    problems: tuple[str, ...]

    @property
    def studies(self) -> int:
        return self.statuses.total()


def make_round_trip(
    client: DicomwebClient,
    detector: Detector,
    study_filter: StudyFilter,
    output_dir: Path,
    options: RoundTripOptions,
    report: Callable[[str], None],
) -> RoundTripSummary:
    """Find studies, fetch their mammograms, score them, and store the results if asked to.

    Writes ``studies.jsonl``, a line for each study that has come to its end, and a folder for each
    study below ``studies/``. In a folder where such a run was stopped, it goes on: what is fetched,
    scored or stored is not so again, and what is only half done has the same identifiers again.

    Args:
        client: of the archive.
        detector: the detector.
        study_filter: which studies.
        output_dir: where to write.
        options: what is made of each study.
        report: takes a line for each study that has come to its end.

    Raises:
        InputError: highdicom is missing, or the folder holds results of other weights or settings.
        AccessError: the archive does not let us in.
        UnreachableError: the archive does not answer; what is done is kept.
        OSError: the folder cannot be written to; what is done is kept.
    """
    check_highdicom()
    check_output_folder(output_dir)
    settings = detector.settings() | {
        "url": client.connection.url,
        "score_threshold": options.results.score_threshold,
        "objects": sorted(options.results.objects),
        "calibration": options.calibration and options.calibration.settings(),
    }
    with open_study_records(output_dir) as records:
        records.start(settings)
        remove_abandoned_files(output_dir)
        found = client.find_studies(study_filter)
        trip = _RoundTrip(client, detector, output_dir, options, records)
        progress = JobProgress(len(found.matches), 1, report)
        return trip.make(found.matches, found.problems, progress)


class _RoundTrip:
    """The work of one process."""

    def __init__(
        self,
        client: DicomwebClient,
        detector: Detector,
        output_dir: Path,
        options: RoundTripOptions,
        records: StudyRecords,
    ) -> None:
        self.client, self.detector, self.records = client, detector, records
        self.output_dir, self.options = output_dir, options

    def make(
        self, studies: tuple[str, ...], search_problems: tuple[str, ...], progress: JobProgress
    ) -> RoundTripSummary:
        problems, before, failures = list(search_problems), 0, 0
        ahead = work_ahead(studies, self._fetch, _STUDIES_AHEAD)
        with contextlib.closing(ahead), contextlib.closing(self.client.connection):
            for study, result in ahead:
                fetched = result()
                if fetched.before is not None and self._is_finished(fetched.before):
                    before += 1
                    self._remove_images(fetched.before)  # which a kill may have left
                    progress.tell(f"study {study}: {fetched.before.status} before")
                    continue
                record = self._visit(study, fetched)
                self.records.append(record)
                self._remove_images(record)
                problems += record.problems
                progress.tell(
                    f"study {study}: {record.status}, {counted(record.done, 'image')} scored"
                )
                failures = failures + 1 if fetched.failure is not None else 0
                if failures == _MOST_FAILURES:
                    raise UnreachableError(
                        f"{failures} studies in a row cannot be fetched (last: {fetched.failure}); "
                        "what is done is kept, and the same command goes on"
                    )
        return self._summary(studies, before, problems)

    def _fetch(self, study: str) -> Fetched:
        before = self.records.last.get(study)
        return fetch_study(self.client, study, before, self._folder(study))

    def _visit(self, study: str, fetched: Fetched) -> StudyRecord:
        folder = self._folder(study)
        before = self.records.last.get(study)
        attempts = 0 if before is None else before.attempts
        record = fetched.before or score_study(
            self.detector, study, fetched, folder, self.options, attempts=attempts
        )
        if record.status == SCORED and self.options.store:
            record = store_study(self.client, record, folder, attempts=attempts)
        return record

    def _remove_images(self, record: StudyRecord) -> None:
        is_done = record.status != FAILED and not record.attempts
        if is_done and not self.options.keep_images:
            shutil.rmtree(self._folder(record.study) / IMAGES, ignore_errors=True)

    def _is_finished(self, before: StudyRecord) -> bool:
        """True if an earlier run has left nothing to do."""
        return not (before.status == SCORED and self.options.store)

    def _folder(self, study: str) -> Path:
        return self.output_dir / "studies" / study

    def _summary(
        self, studies: tuple[str, ...], before: int, problems: list[str]
    ) -> RoundTripSummary:
        records = [self.records.last[study] for study in studies]
        return RoundTripSummary(
            Counter(record.status for record in records),
            before,
            sum(record.done for record in records),
            sum(record.objects for record in records),
            tuple(problems),
        )
