"""Interface of an experiment tracker, and the late import of its package."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import ModuleType

from medmask.engine.tracking.tracked_run import TrackedRun
from medmask.errors import InputError


class Tracker(ABC):
    """A service, or files of one, that collects the metrics of runs.

    :meth:`check` is called before the run. The others are called from one thread of the main
    process, and what they raise ends the tracking, not the run.
    """

    name: str
    """of the package, of its extra, and of its group of keys in ``train``"""

    def check(self) -> None:
        """Find before a run that it could not be tracked.

        Raises:
            InputError: the package is not installed, or a setting is missing.
        """
        self.package()

    def package(self) -> ModuleType:
        """Import the package.

        Raises:
            InputError: it is not installed.
        """
        try:
            return importlib.import_module(self.name)
        except ImportError as error:
            raise InputError(
                f"train.{self.name}.enabled is true, but the package {self.name} cannot be "
                f"imported ({error}): run 'pip install medmask-detection[{self.name}]', or set "
                "the key to false"
            ) from error

    @abstractmethod
    def open(self, run: TrackedRun) -> None:
        """Start to track a run, or go on with the one of the same id."""

    @abstractmethod
    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        """Take the metrics of an iteration, all of them finite."""

    @abstractmethod
    def close(self, finished: bool) -> None:
        """End the tracking, after all metrics have arrived.

        Args:
            finished: the run has done all its iterations.
        """
