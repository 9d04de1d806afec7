"""Memory that a run has freed goes back to the system now and then."""

from detectron2.engine import HookBase

from medmask.utils.memory import release_freed_memory


class FreedMemoryHook(HookBase):
    """Returns freed memory every ``period`` iterations.

    A run keeps what it frees (:func:`medmask.utils.memory.keep_freed_memory`). As images have
    ever-changing sizes, what is kept fits ever less of what is wanted next, and adds up to several
    times what an iteration needs.
    """

    def __init__(self, period: int = 20) -> None:
        """Create the hook.

        Args:
            period: iterations from one return to the next. Getting the memory again costs a part
                of one iteration.
        """
        self.period = period

    def after_step(self) -> None:
        if (self.trainer.iter + 1) % self.period == 0:
            release_freed_memory()
