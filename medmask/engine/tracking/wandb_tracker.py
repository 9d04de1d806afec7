"""Tracker of Weights & Biases, on its server or in files of an offline run."""

import logging
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from medmask.engine.tracking.tracked_run import TrackedRun
from medmask.engine.tracking.tracker import Tracker
from medmask.errors import InputError

logger = logging.getLogger(__name__)

FINISH_SECONDS = 50.0
"""Time for the upload at the end of a run; afterwards ``wandb sync`` uploads what is left."""


class WandbTracker(Tracker):
    """Logs metrics, config and versions to a run of wandb, whose files are in the run's folder.

    Of what wandb collects by itself nothing is sent: no console output, code, git state, names of
    machine and user, or list of packages. In a hospital those may tell of patients.
    """

    name = "wandb"

    def __init__(
        self, project: str, entity: str | None, name: str | None, mode: str | None
    ) -> None:
        """Create a tracker; nothing is opened yet.

        Args:
            project: of the run.
            entity: user or team that has the project; None for the user's default.
            name: of the run; None for its output folder.
            mode: ``"online"``, ``"offline"``, or None for what ``WANDB_MODE`` says, else online.
        """
        self._project, self._entity, self._run_name, self._mode = project, entity, name, mode
        self._run: Any = None

    def check(self) -> None:
        wandb = self.package()
        settings = wandb.setup(settings=_quiet_settings(wandb)).settings
        is_online = (self._mode or settings.mode) == "online"
        if is_online and not _has_key(wandb):
            raise InputError(
                "train.wandb.enabled is true, but wandb has no key for its server: run 'wandb "
                "login', set WANDB_API_KEY, or set train.wandb.mode to offline"
            )

    def open(self, run: TrackedRun) -> None:
        wandb = self.package()
        self._run = wandb.init(
            project=self._project,
            entity=self._entity,
            name=self._run_name or str(run.output_dir),
            id=run.id,
            resume="allow",
            mode=self._mode,
            dir=str(run.output_dir),
            config={
                **run.config,
                "versions": dict(run.versions),
                "output_dir": str(run.output_dir.resolve()),
            },
            allow_val_change=True,  # a resumed run may be longer
            settings=_quiet_settings(wandb),
        )
        logger.info(f"wandb: run {run.id}, {self._run.url or f'offline, in {self._run.dir}'}")

    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        self._run.log(dict(metrics), step=iteration)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


def _has_key(wandb: ModuleType) -> bool:
    """Test for a key without asking for one; whether the server takes it shows later."""
    try:
        return wandb.login(prompt=False)
    except Exception:  # the server does not answer, of which the run is to warn and to go on
        return True


def _quiet_settings(wandb: ModuleType) -> Any:
    return wandb.Settings(
        silent=True,
        console="off",
        disable_code=True,
        disable_git=True,
        host="",
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
    )
