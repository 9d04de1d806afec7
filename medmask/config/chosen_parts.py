"""Parts that overrides choose by their names in place of others.

``lr_multiplier._target_=medmask.solver.StepSchedule`` chooses another schedule. The settings of the
one that stood there, which the new one has not, go with it.
"""

from collections.abc import Iterable, Mapping

from omegaconf import DictConfig, OmegaConf, open_dict

from medmask.config.targets import find_allowed_target, parameters_of
from medmask.errors import InputError

_TARGET = "._target_"


def settings_of_chosen(config: DictConfig, keys: Iterable[str]) -> dict[str, list[str]]:
    """List the settings of the parts in whose place overrides choose others.

    Args:
        config: before the overrides are applied.
        keys: of the overrides.

    Returns:
        Key of the part -> names of its settings, without those that overrides give.
    """
    given = set(keys)
    groups = {key.removesuffix(_TARGET) for key in given if key.endswith(_TARGET)}
    found = {}
    for group in sorted(groups):
        part = OmegaConf.select(config, group)
        if isinstance(part, DictConfig):
            found[group] = [
                name
                for name in map(str, part)
                if not any(f"{key}.".startswith(f"{group}.{name}.") for key in given)
            ]
    return found


def drop_former_settings(config: DictConfig, settings: Mapping[str, Iterable[str]]) -> None:
    """Remove the settings that a part which was chosen has not.

    Args:
        config: with the overrides; is changed.
        settings: what :func:`settings_of_chosen` gave before.
    """
    for group, names in settings.items():
        part = OmegaConf.select(config, group)
        try:
            parameters, takes_any = parameters_of(find_allowed_target(part.get("_target_")))
        except InputError:  # which is told elsewhere
            continue
        if parameters is None or takes_any:
            continue
        with open_dict(part):
            for name in names:
                if name not in parameters:
                    del part[name]
