"""The copies of a model on a cluster of Ray: starting, awaiting and replacing them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from medmask.errors import InputError
from medmask.inference.detector import StoredDetector
from medmask.inference.prediction_images import PredictionImage
from medmask.inference.ray_cluster import ReplicaNeeds
from medmask.inference.ray_replica import Replica, ReplicaDescription
from medmask.utils.counts import counted
from medmask.utils.failures import one_line

_START_SECONDS = 600.0  # until a copy of the model is there; a cluster may have to grow first


class ReplicaLostError(Exception):
    """The process of a replica has ended, or its machine."""


@dataclass(eq=False)
class ReplicaHandle:
    """A replica, and what it is doing.

    Attributes:
        actor: of Ray.
        awaited: what comes from it next: its description, or predictions; None if it is idle.
        is_loaded: whether it has described itself.
        has_begun: whether it knows what to make of images.
        rows: images by position that it has not finished.
    """

    actor: Any
    awaited: Any
    is_loaded: bool = False
    has_begun: bool = False
    rows: dict[int, PredictionImage] = field(default_factory=dict)

    @property
    def is_busy(self) -> bool:
        """True while predictions are to come from it, or their end."""
        return self.is_loaded and self.awaited is not None


class Replicas:
    """Copies of a model, each in a process of its own."""

    def __init__(
        self, ray: ModuleType, make_detector: Callable[[], StoredDetector], needs: ReplicaNeeds
    ) -> None:
        """Create a set of replicas that is empty.

        Args:
            ray: connected to a cluster.
            make_detector: loads the model; picklable.
            needs: of each.
        """
        self.handles: list[ReplicaHandle] = []
        self._ray, self._needs = ray, needs
        self._make_detector = ray.put(make_detector)
        self._actor_class = ray.remote(Replica).options(num_cpus=needs.cpus, num_gpus=needs.gpus)

    def start(self) -> ReplicaHandle:
        """Start one more; it comes when there is room for it."""
        actor = self._actor_class.remote()
        handle = ReplicaHandle(actor, actor.load.remote(self._make_detector))
        self.handles.append(handle)
        return handle

    def remove(self, handle: ReplicaHandle) -> None:
        """End one."""
        self._ray.kill(handle.actor)
        self.handles.remove(handle)

    def wait(self) -> list[ReplicaHandle]:
        """Wait until one or more of them have something.

        Raises:
            InputError: none has, and none could be started for a long time.
        """
        awaited = {handle.awaited: handle for handle in self.handles if handle.awaited is not None}
        is_busy = any(handle.is_busy for handle in self.handles)
        timeout = None if is_busy else _START_SECONDS
        ready, _ = self._ray.wait(list(awaited), num_returns=1, timeout=timeout)
        if not ready:
            raise InputError(
                f"the cluster has started no copy of the model in {_START_SECONDS / 60:.0f} "
                f"minutes: see to it that a machine has {counted(self._needs.cpus, 'core')} and "
                f"{counted(self._needs.gpus, 'GPU')} free, or reduce --workers"
            )
        return [awaited[each] for each in ready]

    def take(self, handle: ReplicaHandle) -> Any:
        """Take what a replica has; None at the end of its predictions.

        Raises:
            InputError: it cannot load the model.
            ReplicaLostError: it has ended.
        """
        exceptions = self._ray.exceptions
        try:
            item = self._ray.get(next(handle.awaited) if handle.is_loaded else handle.awaited)
        except StopIteration:
            item = None
        except exceptions.RayTaskError as error:
            if handle.is_loaded and not isinstance(error.cause, InputError):
                raise
            raise _no_start(error.cause) from None
        except exceptions.RayActorError as error:
            if error.actor_init_failed:
                raise _no_start(error) from None
            raise ReplicaLostError(one_line(error)[-300:]) from None
        except exceptions.RayError as error:
            raise ReplicaLostError(one_line(error)[-300:]) from None
        if item is None or isinstance(item, ReplicaDescription):
            handle.is_loaded, handle.awaited = True, None
        return item

    def close(self) -> None:
        """End them all."""
        for handle in list(self.handles):
            self.remove(handle)


def _no_start(error: Exception) -> InputError:
    if isinstance(error, InputError):
        return InputError(str(error))
    return InputError(
        f"a machine of the cluster cannot load the model ({one_line(error)[-300:]}): install there "
        "what is installed here"
    )
