"""One page about one run, or about several and their differences."""

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from medmask.report.calibration_section import calibration_section
from medmask.report.comparison_section import comparison_section
from medmask.report.data_section import data_section
from medmask.report.evaluated_run import evaluate_runs
from medmask.report.gallery_section import gallery_section
from medmask.report.metrics_section import metrics_section
from medmask.report.options import ReportOptions
from medmask.report.page import make_page
from medmask.report.run_files import read_runs
from medmask.report.settings_section import settings_section
from medmask.report.training_section import training_section
from medmask.utils.files import atomic_write, check_output_file
from medmask.utils.json_files import valid_unicode


def write_report(
    folders: Sequence[str | os.PathLike],
    path: str | os.PathLike,
    options: ReportOptions | None = None,
) -> None:
    """Write a page about runs of training or evaluation.

    Args:
        folders: ``train.output_dir`` of each; the first is what the others are compared with.
        path: the HTML file to write; it loads nothing else.
        options: the defaults if None.

    Raises:
        InputError: a folder holds no run, a file is broken, or files contradict each other.
        OSError: the page cannot be written.
    """
    options = options or ReportOptions()
    runs = read_runs(folders)  # before a folder is made for the page
    check_output_file(path)
    evaluated = evaluate_runs(runs, options.dataset, options.bootstrap)
    sections = [
        metrics_section(runs, evaluated),
        comparison_section(runs, evaluated, options.bootstrap),
        calibration_section(runs),
        training_section(runs),
        gallery_section(runs, evaluated, fpi=options.fpi, num_each=options.gallery),
        data_section(runs, evaluated),
        settings_section(runs),
    ]
    names = ", ".join(run.label for run in runs)
    today = datetime.date.today().isoformat()
    lead = f"{', '.join(str(run.path) for run in runs)} · {today}"
    page = make_page(
        options.title or f"MedMask: {names}", lead, [each for each in sections if each is not None]
    )
    with atomic_write(Path(path), "w") as file:
        file.write(valid_unicode(page))  # paths may hold anything
