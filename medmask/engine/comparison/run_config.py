"""The config that a result was made with, and the one that its run has now."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medmask.config.difference import result_differences, result_values
from medmask.config.loading import load_config
from medmask.config.yaml_files import read_config_yaml
from medmask.engine.comparison.plan import Run
from medmask.engine.run_folder import CONFIG


class RunConfigs:
    """The configs of runs as their files are now, each loaded once for all seeds."""

    def __init__(self) -> None:
        self._values: dict[tuple[Run, tuple[str, ...]], dict[str, Any]] = {}

    def differences(
        self, run: Run, settings: Sequence[str], values: dict[str, Any] | None
    ) -> list[str]:
        """Tell what of a run's config has changed since a result was made.

        Args:
            run: as the plan has it now.
            settings: ``key=value`` settings of its config.
            values: what :func:`used_values` gave for the result.

        Returns:
            A phrase for each key with both values; none for ``None``, which is not known.

        Raises:
            InputError: the config cannot be loaded.
        """
        if values is None:
            return []
        key = (run, tuple(settings))
        if key not in self._values:
            config = load_config(str(run.config), settings)
            self._values[key] = result_values(config, _decided(run))
        return result_differences(values, self._values[key])


def used_values(run: Run, folder: Path) -> dict[str, Any] | None:
    """Read what a result depends on from the config that a run has left; ``None`` if it is gone."""
    path = folder / CONFIG
    if not path.exists():
        return None
    # A stage of the user's own is named there, too; nothing is built of this config.
    return result_values(read_config_yaml(path, any_target=True), _decided(run))


def _decided(run: Run) -> list[str]:
    """Keys that the runner sets for each seed."""
    return ["train.seed"] + ([] if run.start is None else ["train.init_checkpoint"])
