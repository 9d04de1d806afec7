from types import SimpleNamespace

from medmask.engine import freed_memory_hook
from medmask.engine.freed_memory_hook import FreedMemoryHook


def test_freed_memory_is_returned_after_every_so_many_iterations(monkeypatch):
    returned = []
    hook = FreedMemoryHook(period=3)
    hook.trainer = SimpleNamespace(iter=0)
    monkeypatch.setattr(
        freed_memory_hook, "release_freed_memory", lambda: returned.append(hook.trainer.iter)
    )
    for hook.trainer.iter in range(7):
        hook.after_step()
    assert returned == [2, 5]
