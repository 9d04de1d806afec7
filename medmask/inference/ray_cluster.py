"""The cluster of Ray that predictions run on: one that is there, or one of this machine alone."""

import contextlib
import logging
import os
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from medmask.errors import InputError
from medmask.utils.counts import counted
from medmask.utils.failures import one_line
from medmask.utils.optional_packages import import_optional

_STORE_BYTES = 2**28  # of objects that processes share: rows, records and pictures, but no images

_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0"}  # nothing is sent anywhere


class ReplicaNeeds(NamedTuple):
    """Needs of one copy of the model on its machine."""

    cpus: int
    gpus: int


def import_ray() -> ModuleType:
    """Import Ray.

    Raises:
        InputError: it is missing.
    """
    for name, value in _SETTINGS.items():  # which Ray reads when it is imported or starts
        os.environ.setdefault(name, value)
    return import_optional("ray", "--engine ray needs", "ray")


@contextlib.contextmanager
def ray_cluster() -> Iterator[ModuleType]:
    """Connect to the cluster that ``RAY_ADDRESS`` names, or start one on this machine.

    A program that is connected already stays so.

    Raises:
        InputError: Ray is missing, or the cluster does not answer.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    _connect(ray, os.environ.get("RAY_ADDRESS"))
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: ModuleType, address: str | None) -> None:
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                **quiet,
            )
    except Exception as error:  # Ray raises bare ones, too
        reason = one_line(error)[:200]
        if address:
            raise InputError(
                f"no cluster of Ray answers at RAY_ADDRESS={address} ({reason}): start "
                "it with `ray start`, or unset RAY_ADDRESS to use this machine alone"
            ) from None
        raise InputError(
            f"Ray does not start on this machine ({reason}): try again when it is less "
            "busy, or use --engine local"
        ) from None


def has_gpus(ray: ModuleType) -> bool:
    return ray.cluster_resources().get("GPU", 0) >= 1


def count_replicas(ray: ModuleType, needs: ReplicaNeeds) -> int:
    """Count how many copies of the model fit into the machines of the cluster.

    Raises:
        InputError: there is room for none.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    count = sum(_fitting(resources, needs) for resources in machines)
    if count == 0:
        found = "; ".join(
            f"{counted(resources.get('CPU', 0), 'core')} and "
            f"{counted(resources.get('GPU', 0), 'GPU')}"
            for resources in machines
        )
        raise InputError(
            f"no machine of the cluster has the {counted(needs.cpus, 'core')} and "
            f"{counted(needs.gpus, 'GPU')} that a model with its readers needs (there are "
            f"{found}): reduce --workers, or choose another --device"
        )
    return count


def _fitting(resources: dict[str, float], needs: ReplicaNeeds) -> int:
    count = int(resources.get("CPU", 0) // needs.cpus)
    return min(count, int(resources.get("GPU", 0) // needs.gpus)) if needs.gpus else count
