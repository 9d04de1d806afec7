"""Trackers that the config of a run switches on."""

from collections.abc import Callable, Mapping
from pathlib import Path

from omegaconf import DictConfig

from medmask.config.yaml_files import to_plain
from medmask.engine.metric_values import Metrics
from medmask.engine.tracking.mlflow_tracker import MlflowTracker
from medmask.engine.tracking.tracked_run import describe_run
from medmask.engine.tracking.tracker import Tracker
from medmask.engine.tracking.wandb_tracker import WandbTracker
from medmask.engine.tracking.writer import TrackingWriter
from medmask.engine.versions import collect_versions

TRACKERS: Mapping[str, Callable[..., Tracker]] = {
    tracker.name: tracker for tracker in (WandbTracker, MlflowTracker)
}


def build_trackers(config: DictConfig) -> list[Tracker]:
    """Build the trackers that are enabled in ``train``; the packages are not imported yet."""
    trackers = []
    for name, build_tracker in TRACKERS.items():
        options = dict(config.train.get(name) or {})  # not in configs of before
        if options.pop("enabled", False):
            trackers.append(build_tracker(**options))
    return trackers


def check_trackers(config: DictConfig) -> None:
    """Find before a run that it could not be tracked.

    Raises:
        InputError: a package is not installed, or a setting is missing.
    """
    for tracker in build_trackers(config):
        tracker.check()


def build_tracking_writers(
    config: DictConfig, past: Metrics | None, last_iter: int, *, resume: bool
) -> list[TrackingWriter]:
    """Build a writer for each tracker.

    Args:
        config: of the run.
        past: the latest values of the run that is resumed.
        last_iter: the last iteration in ``metrics.json``; -1 for none.
        resume: go on with the runs that the trackers know from this folder.
    """
    trackers = build_trackers(config)
    if not trackers:
        return []
    plain, _ = to_plain(config)
    run = describe_run(Path(config.train.output_dir), plain, collect_versions(), resume=resume)
    return [
        TrackingWriter(tracker, run, config.train.max_iter, past=past, last_iter=last_iter)
        for tracker in trackers
    ]
