import time

import pytest
import torch
from step_timing.clock import REST, SECTIONS, StepClock, time_sections
from step_timing.process import use_grid_sample
from step_timing.stepping import ready_to_step

from medmask.layers import ms_deform_attn_fused, ms_deform_attn_fused_pytorch


def test_each_moment_belongs_to_the_innermost_section(monkeypatch):
    times = iter([0.0, 1.0, 3.0, 7.0, 15.0, 31.0])
    monkeypatch.setattr("step_timing.clock.perf_counter", lambda: next(times))
    clock = StepClock(torch.device("cpu"))
    clock.start()
    with clock.section("outer"), clock.section("inner"):
        pass
    assert clock.stop() == {REST: 17, "outer": 10, "inner": 4}


def test_seconds_are_those_of_a_clock():
    clock = StepClock(torch.device("cpu"))
    begin = time.perf_counter()
    clock.start()
    with clock.section("asleep"):
        time.sleep(0.02)
    seconds = clock.stop()
    assert seconds["asleep"] >= 0.02
    assert sum(seconds.values()) <= time.perf_counter() - begin


def test_a_section_that_fails_is_left():
    clock = StepClock(torch.device("cpu"))
    clock.start()
    with pytest.raises(ValueError, match="broken"), clock.section("backbone"):
        raise ValueError("broken")
    time.sleep(0.01)
    assert clock.stop()[REST] >= 0.01


def test_all_sections_of_a_step_are_seen(make_detector, make_trainer):
    trainer = make_trainer(make_detector())
    clock = StepClock(trainer.device)
    time_sections(trainer, clock)
    with ready_to_step(trainer, max_iter=10) as take_step:
        clock.start()
        take_step()
        assert clock.stop().keys() == set(SECTIONS)
        assert trainer.iter == 1


def test_grid_sample_takes_the_place_of_the_compiled_operator():
    value, references = torch.randn(1, 12, 2, 4), torch.rand(1, 5, 1, 2)
    levels = (torch.tensor([[3, 4]]), torch.tensor([0]))
    offsets, logits = torch.randn(1, 5, 2, 1, 3, 2), torch.randn(1, 5, 2, 1, 3)
    value.requires_grad_()
    inputs = (value, *levels, references, offsets, logits)
    ours = ms_deform_attn_fused(*inputs)
    library = use_grid_sample()
    theirs = ms_deform_attn_fused(*inputs)
    expected = ms_deform_attn_fused_pytorch(*inputs)
    assert type(theirs.grad_fn) is type(expected.grad_fn) is not type(ours.grad_fn)
    assert torch.equal(theirs, expected)
    del library
    assert type(ms_deform_attn_fused(*inputs).grad_fn) is type(ours.grad_fn)
