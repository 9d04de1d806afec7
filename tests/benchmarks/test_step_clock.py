import time

import pytest
import torch
from step_timing.benchmark import ready_to_step
from step_timing.clock import SECTIONS, StepClock, watch


def test_each_moment_belongs_to_the_innermost_section():
    clock = StepClock(torch.device("cpu"))
    begin = time.perf_counter()
    clock.start()
    with clock.section("outer"):
        time.sleep(0.01)
        with clock.section("inner"):
            time.sleep(0.02)
        time.sleep(0.01)
    seconds = clock.stop()
    whole = time.perf_counter() - begin
    assert seconds["inner"] >= 0.02
    assert seconds["outer"] >= 0.02
    assert seconds["rest"] < 0.01
    assert sum(seconds.values()) == pytest.approx(whole, abs=1e-3)


def test_a_section_that_fails_is_left():
    clock = StepClock(torch.device("cpu"))
    clock.start()
    with pytest.raises(ValueError, match="broken"), clock.section("backbone"):
        raise ValueError("broken")
    time.sleep(0.01)
    assert clock.stop()["rest"] >= 0.01


def test_all_sections_of_a_step_are_seen(make_detector, make_trainer):
    trainer = make_trainer(make_detector())
    clock = StepClock(trainer.device)
    step, forward = type(trainer.optimizer).step, trainer.detector.backbone.forward
    with watch(trainer, clock), ready_to_step([trainer], max_iter=10) as take_step:
        clock.start()
        take_step(trainer)
        assert clock.stop().keys() == set(SECTIONS)
        assert trainer.iter == 1
    assert trainer.optimizer.step.__func__.__wrapped__ is step.__wrapped__
    assert trainer.detector.backbone.forward == forward
