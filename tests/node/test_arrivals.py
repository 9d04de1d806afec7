import threading

from medmask.node.arrivals import Arrivals


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_studies_are_complete_after_their_quiet_time():
    clock = Clock()
    arrivals = Arrivals(10.0, clock)
    arrivals.note("a")
    clock.now += 4
    arrivals.note("b")
    clock.now += 4
    arrivals.note("a")  # another image
    assert arrivals.take(0.0) is None
    clock.now += 6
    assert arrivals.take(0.0) == "b"
    assert arrivals.take(0.0) is None
    clock.now += 4
    assert arrivals.take(0.0) == "a"
    assert arrivals.take(0.0) is None


def test_the_longest_complete_comes_first():
    clock = Clock()
    arrivals = Arrivals(1.0, clock)
    for name in ("c", "a", "b"):
        arrivals.note(name)
        clock.now += 0.1
    arrivals.note("late", 50.0)
    clock.now += 100
    assert [arrivals.take(0.0) for _ in range(4)] == ["c", "a", "b", "late"]


def test_waiting_ends_when_a_study_comes():
    arrivals = Arrivals(0.0)
    threading.Timer(0.1, arrivals.note, ["a"]).start()
    assert arrivals.take(60.0) == "a"
