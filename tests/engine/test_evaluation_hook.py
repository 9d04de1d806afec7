import json
import math

import pytest
import torch
from detectron2.engine import TrainerBase

from medmask.checkpoint import MedMaskCheckpointer
from medmask.engine.evaluation_hook import EvaluationHook, write_results
from medmask.errors import InputError


class CountingTrainer(TrainerBase):
    """Takes steps that do nothing."""

    def run_step(self):
        pass


def run(
    tmp_path,
    values,
    *,
    start_iter=0,
    max_iter=8,
    period=2,
    metric="froc/R@0.3",
    extra=None,
    others=(),
    datasets=("test",),
):
    """Train with evaluations that give ``values`` (and ``others``) in turn; return the hook."""
    model = torch.nn.Linear(1, 1)
    trainer = CountingTrainer()
    checkpointer = MedMaskCheckpointer(model, str(tmp_path), trainer=trainer)
    values, others = iter(values), iter(others)
    hook = EvaluationHook(
        period,
        lambda model, name: {"froc": {"R@0.3": next(values), "R@1": next(others, 1.0)}},
        checkpointer,
        str(tmp_path),
        metric,
        extra,
        datasets=datasets,
    )
    trainer.register_hooks([hook])
    trainer.train(start_iter, max_iter)
    assert next(values, None) is None, "not every evaluation was made"
    return hook


def best_iteration(tmp_path):
    checkpoint = torch.load(tmp_path / "model_best.pth", weights_only=True)
    return checkpoint["iteration"] + 1


def test_the_highest_value_is_kept(tmp_path):
    run(tmp_path, [0.1, 0.7, 0.7, 0.3])
    history = json.loads((tmp_path / "evaluations.json").read_text())
    assert [e["iteration"] for e in history] == [2, 4, 6, 8]
    assert [e["froc/R@0.3"] for e in history] == [0.1, 0.7, 0.7, 0.3]
    assert best_iteration(tmp_path) == 4


def test_period_zero_evaluates_at_the_end_only(tmp_path):
    hook = run(tmp_path, [0.5], period=0)
    assert [e["iteration"] for e in hook.history] == [8]


def test_last_iteration_is_evaluated_once(tmp_path):
    hook = run(tmp_path, [0.1, 0.2, 0.3], max_iter=5)
    assert [e["iteration"] for e in hook.history] == [2, 4, 5]


def test_nan_is_never_best_and_is_null_in_the_file(tmp_path, caplog):
    run(tmp_path, [math.nan, 0.2, math.nan, 0.1])
    undefined = "froc/R@0.3, which is train.best_metric, is undefined here"
    warnings = [x.message for x in caplog.records if undefined in x.message]
    assert [x.endswith("no model_best.pth.") for x in warnings] == [True, False]
    history = json.loads((tmp_path / "evaluations.json").read_text())
    assert history[0]["froc/R@0.3"] is None
    assert best_iteration(tmp_path) == 4


def test_results_are_strict_json_whatever_was_there_before(tmp_path):
    before = [{"iteration": 2, "froc/R@0.3": math.inf, "froc/R@1": math.nan}]
    (tmp_path / "evaluations.json").write_text(json.dumps(before))
    run(tmp_path, [-math.inf], start_iter=2, max_iter=4)
    write_results({"a": math.inf, "b": math.nan, "c": 1.0}, tmp_path)
    evaluations, single = (
        json.loads((tmp_path / name).read_text(), parse_constant=pytest.fail)
        for name in ("evaluations.json", "evaluation.json")
    )
    assert [each["froc/R@0.3"] for each in evaluations] == [None, None]
    assert single == {"a": None, "b": None, "c": 1.0}


def test_resumed_run_remembers_the_best(tmp_path):
    run(tmp_path, [0.1, 0.7], max_iter=4)
    hook = run(tmp_path, [0.3, 0.4], start_iter=4)
    assert [e["iteration"] for e in hook.history] == [2, 4, 6, 8]
    assert best_iteration(tmp_path) == 4


def test_resumed_run_with_another_metric_chooses_the_best_anew(tmp_path):
    """Its model_best.pth is not of the iteration that was best by that metric."""
    run(tmp_path, [0.1, 0.7], others=[0.9, 0.3], max_iter=4)
    run(tmp_path, [0.6, 0.2], others=[0.6, 0.5], start_iter=4, metric="froc/R@1")
    assert best_iteration(tmp_path) == 6
    run(tmp_path, [0.5, 0.4], start_iter=8, max_iter=12)  # back again: those of 4 are gone
    assert best_iteration(tmp_path) == 10
    history = json.loads((tmp_path / "evaluations.json").read_text())
    assert [entry["judged"]["metric"][5:] for entry in history] == [
        *("R@0.3", "R@0.3", "R@1", "R@1", "R@0.3", "R@0.3")
    ]


def test_resumed_run_with_other_test_images_chooses_the_best_anew(tmp_path):
    run(tmp_path, [0.8, 0.9], max_iter=4)
    run(tmp_path, [0.3, 0.5, 0.4], start_iter=4, datasets=("harder",))
    assert best_iteration(tmp_path) == 6
    history = json.loads((tmp_path / "evaluations.json").read_text())
    judged = {"metric": "froc/R@0.3", "datasets": ["harder"]}
    assert history[-1] == {"iteration": 8, "froc/R@0.3": 0.4, "froc/R@1": 1.0, "judged": judged}


def test_finished_run_is_evaluated_on_other_test_images(tmp_path):
    """The results of the former images would pass for those of the others."""
    run(tmp_path, [0.8, 0.9], max_iter=4)
    history = run(tmp_path, [0.5], start_iter=4, max_iter=4, datasets=("harder",)).history
    assert [entry["froc/R@0.3"] for entry in history] == [0.8, 0.9, 0.5]
    assert run(tmp_path, [], start_iter=4, max_iter=4, datasets=("harder",)).history == history


def test_evaluations_that_do_not_tell_what_they_judged_by_count(tmp_path):
    run(tmp_path, [0.1, 0.7], max_iter=4)
    path = tmp_path / "evaluations.json"
    history = json.loads(path.read_text())
    for entry in history:
        del entry["judged"]
    path.write_text(json.dumps(history))
    run(tmp_path, [0.3, 0.4], start_iter=4)
    assert best_iteration(tmp_path) == 4


def test_results_after_the_checkpoint_are_forgotten(tmp_path):
    run(tmp_path, [0.1, 0.2, 0.9], max_iter=6)
    hook = run(tmp_path, [0.3, 0.4], start_iter=4)
    assert [e["froc/R@0.3"] for e in hook.history] == [0.1, 0.2, 0.3, 0.4]


def test_run_that_died_while_evaluating_makes_up_for_it(tmp_path):
    run(tmp_path, [0.1], max_iter=2)
    hook = run(tmp_path, [0.2, 0.3, 0.4], start_iter=4)
    assert [e["iteration"] for e in hook.history] == [2, 4, 6, 8]


def test_unknown_metric_names_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"train\.best_metric.*froc/R@0\.3.*froc/R@1"):
        run(tmp_path, [0.1], metric="froc/R@03")


def test_best_weights_of_another_model_are_kept_beside_the_model(tmp_path):
    class Counter(torch.nn.Module):
        """Tells by its weights how often they were saved."""

        def __init__(self):
            super().__init__()
            self.register_buffer("saved", torch.zeros(()))

        def state_dict(self):
            self.saved += 1
            return {"saved": self.saved.clone()}

    # model and teacher in turn
    values = [0.1, 0.9, 0.7, 0.8, 0.3, 0.95, 0.2, math.nan]
    run(tmp_path, values, extra={"teacher": Counter()})
    history = json.loads((tmp_path / "evaluations.json").read_text())
    assert [e["froc/R@0.3"] for e in history] == [0.1, 0.7, 0.3, 0.2]
    assert [e["teacher/froc/R@0.3"] for e in history] == [0.9, 0.8, 0.95, None]
    assert best_iteration(tmp_path) == 4
    teacher = torch.load(tmp_path / "teacher_best.pth", weights_only=True)
    assert teacher["model"]["saved"] == 2
