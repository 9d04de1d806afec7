"""A run goes on from a whole checkpoint or not at all."""

import copy

import pytest
import torch
from torch import nn

from medmask.checkpoint import MedMaskCheckpointer
from medmask.errors import InputError


class Trainer:
    """State such as the trainer's with its hooks."""

    def __init__(self):
        self.state = {
            "iteration": 0,
            "hooks": {"Teacher": {"teacher": {"w": torch.zeros(2)}, "values": [0.5, 0.5]}},
            "grad_scaler": {},
        }

    def state_dict(self):
        return copy.deepcopy(self.state)

    def load_state_dict(self, state):
        self.state = copy.deepcopy(state)


@pytest.fixture
def run(tmp_path):
    """Makes the parts of a run whose weights are all of one value."""

    def make(value, parameters=(0, 1)):
        model = nn.Linear(2, 3)
        nn.init.constant_(model.weight, value)
        nn.init.constant_(model.bias, value)
        groups = [{"params": [list(model.parameters())[i]], "lr": 0.1} for i in parameters]
        return MedMaskCheckpointer(
            model, str(tmp_path), optimizer=torch.optim.AdamW(groups), trainer=Trainer()
        )

    return make


@pytest.fixture
def checkpoint(run, tmp_path):
    """The content of a checkpoint after a step, and a function that writes it after a change."""
    checkpointer = run(3)
    checkpointer.model(torch.ones(1, 2)).sum().backward()
    checkpointer.checkpointables["optimizer"].step()
    checkpointer.checkpointables["trainer"].state["iteration"] = 4
    checkpointer.save("model_5", iteration=4)
    path = tmp_path / "model_5.pth"
    content = torch.load(path, weights_only=True)

    def write():
        torch.save(content, path)

    return content, write


def test_whole(run, checkpoint):
    content, write = checkpoint
    write()
    checkpointer = run(7)
    assert checkpointer.resume()
    assert checkpointer.checkpointables["trainer"].state["iteration"] == 4
    moments = checkpointer.checkpointables["optimizer"].state_dict()["state"]
    assert torch.equal(moments[0]["exp_avg"], content["optimizer"]["state"][0]["exp_avg"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.pop("optimizer"), "no state of the optimizer"),
        (lambda x: x.pop("trainer"), "no state of the trainer"),
        (lambda x: x.pop("random_states"), "no states of random generators"),
        (lambda x: x.update(random_states=[]), "no states of random generators"),
        (lambda x: x.update(random_states=[{"python": 1}]), "random_states"),
        (lambda x: x["random_states"][0].update(torch=torch.zeros(3)), "random_states"),
        (lambda x: x.update(iteration="4"), "no number of iterations"),
        (lambda x: x.update(iteration=-1), "no number of iterations"),
        (lambda x: x["trainer"].update(iteration=4.5), "no number of iterations"),
        (lambda x: x["trainer"].update(iteration=True), "as iteration|number of iterations"),
        (lambda x: x["trainer"].pop("grad_scaler"), "lacks grad_scaler"),
        (lambda x: x["trainer"]["hooks"].pop("Teacher"), "lacks hooks.Teacher"),
        (
            lambda x: x["trainer"]["hooks"]["Teacher"].update(values=None),
            "NoneType as hooks.Teacher.values",
        ),
        (
            lambda x: x["trainer"]["hooks"]["Teacher"].update(values=["a"]),
            "list as hooks.Teacher.values",
        ),
        (
            lambda x: x["trainer"]["hooks"]["Teacher"]["teacher"].update(w=torch.zeros(3)),
            r"shape \(3,\) as hooks.Teacher.teacher.w",
        ),
        (
            lambda x: x["trainer"]["hooks"]["Teacher"]["teacher"]["w"].fill_(float("nan")),
            r"not finite \(hooks.Teacher.teacher.w\)",
        ),
        (lambda x: x["optimizer"].pop("state"), "no moments"),
        (lambda x: x["optimizer"].pop("param_groups"), "no parameter groups"),
        (lambda x: x["optimizer"]["param_groups"].pop(), r"groups of \[1\] parameters"),
        (lambda x: x["optimizer"]["param_groups"][0].update(lr="a"), "lr = a"),
        (lambda x: x["optimizer"]["param_groups"][0].update(lr=-0.1), "lr = -0.1"),
        (lambda x: x["optimizer"]["param_groups"][0].update(lr=float("nan")), "lr = nan"),
        (lambda x: x["optimizer"]["param_groups"][0].pop("betas"), "betas = None"),
        (lambda x: x["optimizer"]["param_groups"][0].update(params=[1]), "do not number"),
        (
            lambda x: x["optimizer"]["state"][0].update(exp_avg=torch.zeros(2, 3)),
            "exp_avg of another shape",
        ),
        (
            lambda x: x["optimizer"]["state"][0]["exp_avg"].fill_(float("inf")),
            r"not finite \(state.0.exp_avg\)",
        ),
        (lambda x: x["optimizer"]["state"].update({9: {}}), "unknown parameters"),
        (lambda x: x["optimizer"]["state"][1].pop("exp_avg"), "lacks a moment"),
        (
            lambda x: x["optimizer"]["state"][0].update({"\ud800\n": torch.zeros(9)}),
            r"a moment \?\? of another shape",
        ),
        (lambda x: x["optimizer"]["param_groups"][0].update(lr="\n"), r"lr = \?"),
        (lambda x: x["model"].pop("bias"), r"missing \(bias\)"),
        (lambda x: x["model"].update(more=torch.zeros(1)), r"unknown to the model \(more\)"),
    ],
)
def test_damaged(run, checkpoint, change, words):
    content, write = checkpoint
    change(content)
    write()
    checkpointer = run(7)
    with pytest.raises(InputError, match=words) as error:
        checkpointer.resume()
    assert str(error.value).isprintable()
    assert "model_5.pth" in str(error.value)
    if "random" not in words:  # which are read last
        assert (checkpointer.model.bias == 7).all()
        assert checkpointer.checkpointables["trainer"].state["iteration"] == 0


@pytest.mark.parametrize(
    "make",
    [
        torch.optim.ASGD,
        torch.optim.Adafactor,
        torch.optim.Adagrad,
        torch.optim.NAdam,
        torch.optim.RAdam,
        lambda groups: torch.optim.SGD(groups, momentum=0.9),
    ],
)
def test_optimizers_of_any_kind_go_on(tmp_path, make):
    def build():
        model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))
        model.scale = nn.Parameter(torch.tensor(1.0))
        optimizer = make([{"params": [p], "lr": 0.1} for p in model.parameters()])
        return MedMaskCheckpointer(model, str(tmp_path), optimizer=optimizer, trainer=Trainer())

    first = build()
    (first.model.scale * first.model(torch.ones(2, 3))).sum().backward()
    first.checkpointables["optimizer"].step()
    first.save("model_5", iteration=4)
    second = build()
    assert second.resume()
    states = (each.checkpointables["optimizer"].state_dict()["state"] for each in (first, second))
    torch.testing.assert_close(*states, rtol=0, atol=0)


def test_another_order_of_parameters(run, checkpoint):
    with pytest.raises(InputError, match="exp_avg of another shape"):
        run(7, parameters=(1, 0)).resume()


@pytest.mark.parametrize(
    "tag", [b"", b"\xff\xfe", b"../x.pth", b"/etc/passwd", b"model_5.pth\nmodel_6.pth", b"x" * 5000]
)
def test_damaged_tag(run, checkpoint, tmp_path, tag):
    (tmp_path / "last_checkpoint").write_bytes(tag)
    with pytest.raises(InputError, match=r"last_checkpoint .*another checkpoint") as error:
        run(7).resume()
    assert str(error.value).isprintable()
