"""Damaged weights and checkpoints: one sentence, or exactly the weights that were saved."""

import copy
import io
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from campaign import REFUSED, RIGHT, run_campaign, seeds
from isolation import Outcome, assert_accepted, assert_refused, call
from mutations import ODD_VALUES, damage_bytes
from torch import Tensor, nn

from medmask.checkpoint import MedMaskCheckpointer, convert_checkpoint, read_published_file


class Model(nn.Module):
    """Names like those of the detector."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.transformer = nn.Module()
        self.transformer.level_embedding = nn.Parameter(torch.rand(2, 4))
        self.training_modules = nn.ModuleDict({"stage": nn.Linear(4, 4)})


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model()


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory):
    """The files that a run of some steps leaves."""
    folder = tmp_path_factory.mktemp("run")
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        loss = model.backbone(torch.rand(5, 3)).square().mean()
        (loss + sum(p.square().sum() for p in model.parameters())).backward()
        optimizer.step()
    MedMaskCheckpointer(model, str(folder), optimizer=optimizer).save("model_1", iteration=1)
    return (folder / "model_1.pth").read_bytes()


def load(way: str, path: Path) -> dict[str, Tensor]:
    """Load a file in one of the ways; the model's weights afterwards."""
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters())
    checkpointer = MedMaskCheckpointer(model, str(path.parent), optimizer=optimizer)
    if way == "resume":
        checkpointer.tag_last_checkpoint(path.name)
        assert checkpointer.resume()
    else:
        getattr(checkpointer, way)(str(path))
    return {name: x.numpy() for name, x in model.state_dict().items()}


def judge(outcome: Outcome, expected: nn.Module, ignored: str = "-") -> str:
    """Refused, or every weight as it was saved."""
    if outcome.status == 2:
        assert_refused(outcome)
        assert outcome.error.isprintable(), outcome.describe()
        return REFUSED
    found = assert_accepted(outcome)
    for name, value in expected.state_dict().items():
        if not name.startswith(ignored):
            assert torch.equal(torch.from_numpy(found[name]), value), name
    return RIGHT


WAYS = {"load_for_inference": "training_modules.", "load_start_weights": "-", "resume": "-"}


def damage_archive(content: bytes, random_state: random.Random) -> bytes:
    """Entries that are changed, dropped or repeated, under checksums that agree."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    at = random_state.randrange(len(entries))
    name, value = entries[at]
    kind = random_state.choice(("change", "drop", "repeat", "rename", "shuffle"))
    if kind == "change" and "/data" not in name:  # or the file would rightly hold other values
        entries[at] = name, damage_bytes(value, random_state)
    elif kind == "drop":
        del entries[at]
    elif kind == "repeat":
        entries.append((random_state.choice((name, name.upper())), bytes(len(value))))
    elif kind == "rename":
        entries[at] = name + random_state.choice("x/0"), value
    else:
        random_state.shuffle(entries)
    file = io.BytesIO()
    compression = random_state.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    )
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, value in entries:
            archive.writestr(name, value)
    return file.getvalue()


def odd_tensor(x: Tensor, random_state: random.Random) -> Any:
    """Something that cannot stand where a file has ``x``."""
    shape = [*x.shape, 2]
    return random_state.choice(
        [
            lambda: torch.full_like(x, float("nan"), dtype=torch.float32),
            lambda: torch.full_like(x, float("-inf"), dtype=torch.float32),
            lambda: torch.zeros(shape),
            lambda: torch.zeros(0),
            lambda: x.to(torch.complex64),
            lambda: x.to("meta"),
            lambda: x > 0,
            lambda: torch.zeros(1).expand(10**6, 10**6),
            lambda: x.float().reshape(1, -1).to_sparse(),
            lambda: x.numpy().tolist(),
            lambda: random_state.choice(ODD_VALUES),
        ]
    )()


def damage_content(content: dict[str, Any], random_state: random.Random) -> None:
    """Drop, rename or replace a value at any depth of what a checkpoint holds."""
    containers = [content]
    for container in containers:
        values = container.values() if isinstance(container, dict) else container
        containers += [x for x in values if isinstance(x, (dict, list)) and x]
    # not the 625 numbers of Python's generator alone
    container = random_state.choice([x for x in containers if len(x) < 100])
    key = random_state.choice(
        list(container) if isinstance(container, dict) else range(len(container))
    )
    kind = random_state.choice(("drop", "replace", "replace", "rename"))
    if kind == "rename" and isinstance(container, dict):
        container[random_state.choice(("x", "\n", "\ud800", 7, "module.x"))] = container.pop(key)
    elif kind == "drop":
        del container[key]
    elif isinstance(container[key], Tensor):
        container[key] = odd_tensor(container[key], random_state)
    else:
        container[key] = random_state.choice(ODD_VALUES)


def damage_values(content: bytes, random_state: random.Random) -> bytes:
    """A value that is missing, of another name, or odd, in a file that is whole."""
    values = torch.load(io.BytesIO(content), weights_only=True)
    damage_content(values, random_state)
    file = io.BytesIO()
    torch.save(values, file)
    return file.getvalue()


@seeds
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_damaged_checkpoints(seeds, model, checkpoint, tmp_path):
    path = tmp_path / "model_1.pth"

    def case(random_state: random.Random) -> str:
        damage = random_state.choice((damage_bytes, damage_archive, damage_values))
        path.write_bytes(damage(checkpoint, random_state))
        way = random_state.choice(list(WAYS))
        return judge(call(load, way, path), model, WAYS[way])

    run_campaign(seeds, case)


def published(model: nn.Module) -> dict[str, Tensor]:
    names = {"backbone.0.": "backbone.0.body.conv1.", "backbone.1.": "backbone.0.body.bn1."}
    weights = {}
    for name, x in model.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        if not name.startswith("training_modules."):
            weights[name.replace("level_embedding", "level_embed")] = x
    return weights


def convert(path: Path) -> dict[str, Any]:
    target = {
        name.replace("backbone.0.", "backbone.stem.conv1.").replace(
            "backbone.1.", "backbone.stem.conv1.norm."
        ): x
        for name, x in Model().state_dict().items()
        if not name.startswith("training_modules.")
    }
    conversion = convert_checkpoint(read_published_file(path), target)
    return {
        "weights": {name: x.numpy() for name, x in conversion.state_dict.items()},
        "complete": conversion.is_complete,
    }


@seeds
def test_damaged_published_files(seeds, model, tmp_path):
    """A sentence, or a conversion that is incomplete or whole; also in the old format."""
    path = tmp_path / "published.pth"
    original = {"model": published(model), "epoch": 3, "args": None}

    def case(random_state: random.Random) -> str:
        content = copy.deepcopy(original)
        damage_content(content, random_state)
        torch.save(content, path, _use_new_zipfile_serialization=random_state.random() < 0.5)
        outcome = call(convert, path)
        if outcome.status == 2:
            assert_refused(outcome)
            return REFUSED
        result = assert_accepted(outcome)
        if not result["complete"]:
            return "incomplete"
        level = torch.from_numpy(result["weights"]["transformer.level_embedding"])
        assert torch.equal(level, model.transformer.level_embedding.detach())
        return RIGHT

    run_campaign(seeds, case)


def damage_pickle(path: Path, random_state: random.Random) -> Path:
    """A backbone of Detectron2's model zoo."""
    arrays = {n: x.numpy() for n, x in Model().backbone.state_dict().items()}
    content = {"model": arrays, "__author__": "x", "matching_heuristics": True}
    path.write_bytes(damage_bytes(pickle.dumps(content, 2), random_state))
    return path


def damage_old_file(path: Path, random_state: random.Random) -> Path:
    """A published file in the format of torch before 1.6."""
    file = io.BytesIO()
    torch.save({"model": published(Model())}, file, _use_new_zipfile_serialization=False)
    path.write_bytes(damage_bytes(file.getvalue(), random_state))
    return path


@seeds
def test_damaged_files_without_checksums(seeds, tmp_path):
    """A sentence, or finite weights: what is damaged cannot be told from what was meant."""

    def case(random_state: random.Random) -> str:
        if random_state.random() < 0.5:
            path = damage_pickle(tmp_path / "backbone.pkl", random_state)
            outcome = call(load, "load_start_weights", path)
        else:
            outcome = call(convert, damage_old_file(tmp_path / "old.pth", random_state))
        if outcome.status == 2:
            assert_refused(outcome)
            return REFUSED
        found = assert_accepted(outcome)
        weights = found.get("weights", found)
        assert all(torch.from_numpy(x).isfinite().all() for x in weights.values())
        return "finite"

    run_campaign(seeds, case)


def test_the_undamaged_file_is_taken(model, checkpoint, tmp_path):
    path = tmp_path / "model_1.pth"
    path.write_bytes(checkpoint)
    for way, ignored in WAYS.items():
        assert judge(call(load, way, path), model, ignored) == RIGHT
    torch.save({"model": published(model)}, path)
    assert assert_accepted(call(convert, path))["complete"]
