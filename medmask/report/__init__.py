"""One HTML page about runs: results, curves, training, gallery, data, config."""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.report.options import ReportOptions
    from medmask.report.report import write_report

__all__ = ["ReportOptions", "write_report"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ReportOptions": "medmask.report.options",
        "write_report": "medmask.report.report",
    },
)
