"""Tracker of MLflow, on a server or in a local store."""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from medmask.engine.tracking.tracked_run import TrackedRun
from medmask.engine.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

RUN_TAG = "medmask.run"
LONGEST_PARAMETER = 6000  # characters
PARAMETERS_AT_ONCE = 100
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")


class MlflowTracker(Tracker):
    """Logs metrics, config (as parameters), versions and output folder (as tags) to a run.

    A resumed run finds the one of its id by a tag. Parameters cannot be changed in MLflow: those
    of the first start stay.
    """

    name = "mlflow"

    def __init__(self, tracking_uri: str | None, experiment: str, name: str | None) -> None:
        """Create a tracker; nothing is opened yet.

        Args:
            tracking_uri: of the server or store; None for what ``MLFLOW_TRACKING_URI`` says, else
                for MLflow's default.
            experiment: of the run; is made if it is not there.
            name: of the run; None for its output folder.
        """
        self._tracking_uri, self._experiment, self._run_name = tracking_uri, experiment, name
        self._client: Any = None
        self._run_id = ""

    def open(self, run: TrackedRun) -> None:
        mlflow = self.package()
        # which would tell of each attempt to reach a server, and the run is to warn once
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self._client = mlflow.MlflowClient(tracking_uri=self._tracking_uri)
        experiment_id = self._find_experiment()
        tracked = self._find_run(experiment_id, run.id) or self._client.create_run(
            experiment_id,
            run_name=self._run_name or str(run.output_dir),
            tags={RUN_TAG: run.id, "output_dir": str(run.output_dir.resolve())},
        )
        self._run_id = tracked.info.run_id
        self._client.update_run(self._run_id, status="RUNNING")
        parameters = [
            mlflow.entities.Param(key, value)
            for key, value in flatten(run.config)
            if key not in tracked.data.params
        ]
        for i in range(0, len(parameters), PARAMETERS_AT_ONCE):
            self._client.log_batch(self._run_id, params=parameters[i : i + PARAMETERS_AT_ONCE])
        tags = [mlflow.entities.RunTag(f"version.{k}", str(v)) for k, v in run.versions.items()]
        self._client.log_batch(self._run_id, tags=tags)
        logger.info(f"mlflow: run {self._run_id} of experiment {self._experiment}")

    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        entity = self.package().entities.Metric
        now = int(1000 * time.time())
        self._client.log_batch(
            self._run_id,
            metrics=[entity(accepted_name(k), v, now, iteration) for k, v in metrics.items()],
        )

    def close(self, finished: bool) -> None:
        self._client.set_terminated(self._run_id, "FINISHED" if finished else "KILLED")

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        return found.experiment_id if found else self._client.create_experiment(self._experiment)

    def _find_run(self, experiment_id: str, run_id: str) -> Any:
        """Find the run of an id, also of a process that died before it did more than create it."""
        query = f"tags.`{RUN_TAG}` = '{run_id}'"
        return next(iter(self._client.search_runs([experiment_id], query, max_results=1)), None)


def accepted_name(name: str) -> str:
    """Change a metric's name to one that MLflow takes: ``froc/R@0.3`` to ``froc/R_at_0.3``."""
    return _NOT_IN_NAMES.sub("_", name.replace("@", "_at_"))


def flatten(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """List the values of groups in groups with their keys, as MLflow takes parameters."""
    if isinstance(values, Mapping) and values:
        for name, value in values.items():
            yield from flatten(value, f"{key}.{name}" if key else str(name))
    else:
        yield accepted_name(key), str(values)[:LONGEST_PARAMETER]
