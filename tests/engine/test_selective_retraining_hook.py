import copy

import pytest
import torch

from medmask.engine import LossHook, SelectiveRetrainingHook
from medmask.errors import InputError

BATCHES_PER_EPOCH = 2  # of the loader


class Recorder(LossHook):
    """Copies the detector's weights when the hooks before it have prepared a step."""

    def before_step(self):
        self.trained = {id(p) for p in self.trainer.optimizer.state}
        self.weights = copy.deepcopy(self.trainer.detector.state_dict())
        self.by_iteration = getattr(self, "by_iteration", [])
        self.by_iteration.append(self.weights)


def is_kept(name):
    return name.startswith(("transformer.decoder.", "training_modules."))


@pytest.mark.parametrize("epochs", [1, 2])
def test_all_but_the_decoder_is_set_back_every_few_epochs(make_detector, make_trainer, epochs):
    detector = make_detector(seed=1)
    recorder = Recorder()
    trainer = make_trainer(detector, SelectiveRetrainingHook(epochs=epochs), recorder)
    detector.load_state_dict(make_detector(seed=2).state_dict())  # as train() loads a checkpoint
    trainer.train(0, 5)
    start = recorder.by_iteration[0]
    for iteration, weights in enumerate(recorder.by_iteration):
        reset = iteration > 0 and iteration % (epochs * BATCHES_PER_EPOCH) == 0
        for prefix in ("backbone.", "neck.", "transformer.encoder.", "transformer.proposals."):
            moved = [
                not torch.equal(weights[name], start[name])
                for name in start
                if name.startswith(prefix)
            ]
            assert any(moved) == (iteration > 0 and not reset), (iteration, prefix)
        if iteration:
            assert not torch.equal(
                weights["transformer.decoder.box_heads.1.layers.0.weight"],
                start["transformer.decoder.box_heads.1.layers.0.weight"],
            )


def test_statistics_are_set_back_with_the_weights(make_detector, make_trainer):
    recorder = Recorder()
    trainer = make_trainer(make_detector(), SelectiveRetrainingHook(epochs=1), recorder)
    trainer.train(0, 3)
    first, second, third = recorder.by_iteration
    for name in first:
        if "running_" in name or "num_batches_tracked" in name:
            assert not torch.equal(first[name], second[name])
            assert torch.equal(first[name], third[name])


def test_the_optimizer_forgets_what_was_set_back(make_detector, make_trainer):
    detector = make_detector()
    recorder = Recorder()
    trainer = make_trainer(detector, SelectiveRetrainingHook(epochs=1), recorder)
    trainer.train(0, BATCHES_PER_EPOCH + 1)
    for name, parameter in detector.named_parameters():
        state = trainer.optimizer.state.get(parameter)
        if state:  # the discriminators are not trained here
            assert (id(parameter) in recorder.trained) == is_kept(name), name
            assert state["step"] == (BATCHES_PER_EPOCH + 1 if is_kept(name) else 1), name


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_resumed_run_repeats_the_whole_run(check_resume, stop_at):
    check_resume(lambda: [SelectiveRetrainingHook(epochs=1)], stop_at, max_iter=5)


def test_zero_epochs_are_refused():
    with pytest.raises(InputError, match="epochs is 0"):
        SelectiveRetrainingHook(epochs=0)
