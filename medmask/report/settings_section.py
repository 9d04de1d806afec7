"""The config of each run, and the versions that it ran with."""

from collections.abc import Sequence

from medmask.report.html import Markup, element, join
from medmask.report.run_files import RunFiles
from medmask.report.section import Section, fold, missing, table


def settings_section(runs: Sequence[RunFiles]) -> Section:
    """Configs as they are in their files, and tables of versions."""
    parts: list[Markup] = []
    for run in runs:
        if run.config_text:
            summary = f"Config of {run.label}"
            parts.append(fold(summary, element("pre", run.config_text, tabindex=0)))
        else:
            parts.append(
                missing(
                    f"{run.path} has no config.yaml: medmask train writes one; name the data set "
                    "of the detections with --dataset"
                )
            )
        if run.versions:
            rows = list(run.versions.items())
            versions = table(["package", "version"], rows, num_texts=2)
            parts.append(fold(f"Versions of {run.label}", versions))
        else:
            parts.append(missing(f"{run.path} has no versions.json: medmask train writes one"))
    return Section("Config and versions", "settings", join(parts))
