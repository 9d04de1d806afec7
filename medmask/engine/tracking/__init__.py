"""Experiment trackers, which are told what a run does while it trains: wandb and mlflow."""

from medmask.engine.tracking.selection import build_tracking_writers, check_trackers

__all__ = ["build_tracking_writers", "check_trackers"]
