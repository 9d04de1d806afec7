import copy

import pytest
import torch

from medmask.errors import InputError
from medmask.stages.loss_hook import LossHook
from medmask.stages.mean_teacher import SelectiveRetrainingHook


class Recorder(LossHook):
    """Copies the detector's weights when the hooks before it have prepared a step."""

    def before_step(self):
        self.trained = {id(p) for p in self.trainer.optimizer.state}
        self.weights = copy.deepcopy(self.trainer.detector.state_dict())
        self.by_iteration = getattr(self, "by_iteration", [])
        self.by_iteration.append(self.weights)


def is_kept(name):
    return name.startswith(("transformer.decoder.layers.", "training_modules."))


@pytest.mark.parametrize(("period", "iterations"), [(2, 2), (4, 4), (0.4, 2)])
def test_all_but_the_decoder_is_set_back_now_and_then(
    make_detector, make_trainer, period, iterations
):
    detector = make_detector(seed=1)
    recorder = Recorder()
    trainer = make_trainer(detector, SelectiveRetrainingHook(period=period), recorder)
    detector.load_state_dict(make_detector(seed=2).state_dict())  # as train() loads a checkpoint
    trainer.train(0, 5)
    start = recorder.by_iteration[0]
    for iteration, weights in enumerate(recorder.by_iteration):
        reset = iteration > 0 and iteration % iterations == 0
        for prefix in (
            "backbone.",
            "neck.",
            "transformer.encoder.",
            "transformer.proposals.",
            "transformer.decoder.class_heads.",
            "transformer.decoder.box_heads.",
        ):
            moved = [
                not torch.equal(weights[name], start[name])
                for name in start
                if name.startswith(prefix)
            ]
            assert any(moved) == (iteration > 0 and not reset), (iteration, prefix)
        if iteration:
            assert not torch.equal(
                weights["transformer.decoder.layers.1.self_norm.weight"],
                start["transformer.decoder.layers.1.self_norm.weight"],
            )


@pytest.mark.parametrize(
    ("period", "max_iter", "iterations"),
    [(0.5, 1000, 500), (0.5, 1001, 501), (0.05, 1010, 51), (0.07, 100, 7), (0.991, 100, 99)],
)
def test_a_share_of_the_run_is_rounded_up(period, max_iter, iterations):
    hook = SelectiveRetrainingHook(period=period)
    hook.set_run_length(max_iter)
    assert hook._iterations == iterations


def test_two_halves_are_one_reset_in_a_run_of_an_odd_number(make_detector, make_trainer):
    recorder = Recorder()
    make_trainer(make_detector(), SelectiveRetrainingHook(period=0.5), recorder).train(0, 5)
    start, *others = recorder.by_iteration
    names = [name for name in start if name.startswith("transformer.encoder.")]
    resets = [all(torch.equal(x[name], start[name]) for name in names) for x in others]
    assert resets == [False, False, True, False]


def test_heads_are_kept_by_option(make_detector, make_trainer):
    recorder = Recorder()
    hook = SelectiveRetrainingHook(period=2, keep_heads=True)
    make_trainer(make_detector(), hook, recorder).train(0, 3)
    start, _, after = recorder.by_iteration
    heads = ("transformer.decoder.class_heads.", "transformer.decoder.box_heads.")
    for name in start:
        if name.startswith(heads):
            assert not torch.equal(start[name], after[name]), name
        elif not is_kept(name):
            assert torch.equal(start[name], after[name]), name


def test_statistics_are_set_back_with_the_weights(make_detector, make_trainer):
    recorder = Recorder()
    trainer = make_trainer(make_detector(), SelectiveRetrainingHook(period=2), recorder)
    trainer.train(0, 3)
    first, second, third = recorder.by_iteration
    for name in first:
        if "running_" in name or "num_batches_tracked" in name:
            assert not torch.equal(first[name], second[name])
            assert torch.equal(first[name], third[name])


def test_the_optimizer_forgets_what_was_set_back(make_detector, make_trainer):
    detector = make_detector()
    recorder = Recorder()
    trainer = make_trainer(detector, SelectiveRetrainingHook(period=2), recorder)
    trainer.train(0, 3)
    for name, parameter in detector.named_parameters():
        assert (id(parameter) in recorder.trained) == is_kept(name), name
        steps = trainer.optimizer.state[parameter]["step"]
        assert steps == (3 if is_kept(name) else 1), name


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_resumed_run_repeats_the_whole_run(check_resume, stop_at):
    check_resume(lambda: [SelectiveRetrainingHook(period=2)], stop_at, max_iter=5)


@pytest.mark.parametrize("period", [0, -1, 1.5, True, "often"])
def test_senseless_periods_are_refused(period):
    with pytest.raises(InputError, match=r"selective_retraining\.period is"):
        SelectiveRetrainingHook(period=period)


@pytest.mark.parametrize("period", [5, 9])
def test_period_that_never_ends_is_refused_before_the_first_step(
    make_detector, make_trainer, period
):
    trainer = make_trainer(make_detector(), SelectiveRetrainingHook(period=period))
    words = rf"loss_hooks\.selective_retraining\.period is {period} iterations, but the run has 5"
    with pytest.raises(InputError, match=words):
        trainer.train(0, 5)
    assert not trainer.optimizer.state
