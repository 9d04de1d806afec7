"""Folders as users have them: images are predicted on, and what cannot be read is named."""

import functools
import json
import os
import random

import numpy as np
import pydicom
import pytest
import torch
from campaign import REFUSED, RIGHT, run_campaign, seeds
from detectron2.config import instantiate
from isolation import ROOT, run_tool
from mutations import damage_bytes
from PIL import Image

from medmask import inference
from medmask.config import load_config
from medmask.errors import InputError
from medmask.images import read_image
from medmask.phantom import PhantomParameters, make_phantom_dataset

CONFIG = str(ROOT / "configs" / "medmask" / "phantom" / "source_only.py")
NAMES = (
    b"scan",
    b"1-1",
    b"1-1",
    b"x y",
    "größe".encode(),
    "影像".encode(),
    b"\xff",
    b"a#1",
    b"a\nb",
)
FOLDERS = ("", "", "a", "b", "a/deep", "b/deep", "c.png")
GOOD, BAD, IGNORED, EITHER = "good", "bad", "ignored", "either"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    """A small model with fresh weights, on images of a few pixels."""
    weights = tmp_path_factory.mktemp("run") / "model.pth"
    torch.manual_seed(0)
    torch.save({"model": instantiate(load_config(CONFIG).model).state_dict()}, weights)
    small = [
        f"dataloader.test.mapper.augmentation.{x}" for x in ("short_edge_length=32", "max_size=64")
    ]
    return inference.MedMaskPredictor(CONFIG, weights, ["train.device=cpu", *small])


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    """The bytes of a DICOM file, and of one with three frames."""
    root = tmp_path_factory.mktemp("dicom")
    make_phantom_dataset(
        root,
        PhantomParameters(width=48, height=48),
        split_sizes={"val": 1},
        domains=["film"],
        file_format="dicom",
    )
    one = next((root / "film" / "images" / "val").iterdir())
    dataset = pydicom.dcmread(one)
    dataset.NumberOfFrames = 3
    dataset.PixelData *= 3
    dataset.save_as(root / "three.dcm")
    return one.read_bytes(), (root / "three.dcm").read_bytes()


def encoded(pixels, suffix, folder):
    path = folder / f"encoded{suffix}"
    Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    path.unlink()
    return content


class Folder:
    """A folder that a random state fills; knows what each file is."""

    def __init__(self, root, draw, dicom):
        self.root, self.draw, self.dicom = root, draw, dicom
        self.kinds = {}
        root.mkdir()

    def fill(self, number):
        makers = [
            *[self.add_image] * 6,
            *[self.add_dicom] * 3,
            self.add_damaged,
            self.add_damaged,
            self.add_empty,
            self.add_text,
            self.add_frames,
            self.add_pipe,
            self.add_dangling_link,
            self.add_link_to_image,
            self.add_link_to_folder,
            self.add_what_is_no_image,
        ]
        for _ in range(number):
            self.draw.choice(makers)()

    def of_kind(self, kind):
        return {path for path, other in self.kinds.items() if other == kind}

    def add(self, suffix, content, kind):
        path = self.free_path(suffix)
        path.write_bytes(content)
        self.kinds[path] = kind
        return path

    def free_path(self, suffix):
        folder = self.root / self.draw.choice(FOLDERS)
        folder.mkdir(parents=True, exist_ok=True)
        name = os.fsdecode(self.draw.choice(NAMES))
        path, number = folder / f"{name}{suffix}", 0
        while os.path.lexists(path):
            number += 1
            path = folder / f"{name}{number}{suffix}"
        return path

    def image_content(self):
        deep = self.draw.random() < 0.3
        size = self.draw.choice([(30, 20), (24, 24), (1, 1), (1, 90), (90, 1), (3, 60)])
        generator = np.random.default_rng(self.draw.getrandbits(32))
        dtype = np.uint16 if deep else np.uint8
        pixels = generator.integers(0, np.iinfo(dtype).max, size, dtype=dtype)
        suffix = self.draw.choice([".png", ".PNG", ".tif"] + [".jpg"] * (not deep))
        return suffix, encoded(pixels, suffix, self.root)

    def add_image(self):
        self.add(*self.image_content(), GOOD)

    def add_dicom(self):
        self.add(self.draw.choice(["", ".dcm", ".DCM", ".dic", ".1"]), self.dicom[0], GOOD)

    def add_frames(self):
        self.add(".dcm", self.dicom[1], BAD)

    def add_damaged(self):
        suffix, content = self.draw.choice([self.image_content(), (".dcm", self.dicom[0])])
        path = self.add(suffix, damage_bytes(content, self.draw), EITHER)
        try:
            read_image(path)
            self.kinds[path] = GOOD
        except InputError:
            self.kinds[path] = BAD

    def add_empty(self):
        self.add(self.draw.choice([".png", ".jpg", ".tif", ".dcm"]), b"", BAD)

    def add_text(self):
        self.add(self.draw.choice([".png", ".jpg", ".tif", ".dcm"]), b"no image", BAD)

    def add_pipe(self):
        path = self.free_path(self.draw.choice([".png", ".dcm", ""]))
        os.mkfifo(path)
        self.kinds[path] = BAD

    def add_dangling_link(self):
        path = self.free_path(".png")
        path.symlink_to("nowhere")
        self.kinds[path] = BAD

    def add_link_to_image(self):
        good = sorted(path for path in self.of_kind(GOOD) if not path.is_symlink())
        if good:
            path = self.free_path(".png")
            path.symlink_to(self.draw.choice(good))
            self.kinds[path] = GOOD

    def add_link_to_folder(self):
        path = self.free_path("")
        path.symlink_to(self.draw.choice([self.root, path.parent]))

    def add_what_is_no_image(self):
        for name in ("notes.txt", "._1-1.dcm", ".hidden.png", "DICOMDIR", "README"):
            (self.root / name).write_text("words")


def check(predictor, dicom, parent, draw):
    folder = Folder(parent / "in", draw, dicom)
    folder.fill(draw.randint(1, 7))
    output = parent / draw.choice(["out", "in/out"])
    run = functools.partial(
        run_tool,
        "predict.py",
        *(folder.root, "--output", output, "--checkpoint", __file__),
        memory_mib=1500,
    )
    outcome = run()
    good = {os.path.realpath(path) for path in folder.of_kind(GOOD)}
    bad = folder.of_kind(BAD)
    shown = outcome.describe()
    assert outcome.status is not None, shown
    assert "Traceback" not in outcome.errors, shown
    for path in bad:
        named = str(path).replace("\n", "\\n").encode(errors="backslashreplace").decode()
        if outcome.status != 2:
            assert named in outcome.errors, f"{named} is not named\n{shown}"
    if not good:
        assert outcome.status in (1, 2), shown
        return REFUSED
    assert outcome.status == (1 if bad else 0), f"bad: {bad}\n{shown}"
    lines = [json.loads(x) for x in (output / "predictions.jsonl").read_text().splitlines()[1:]]
    done = [line for line in lines if line["status"] == "done"]
    assert sorted(os.path.realpath(line["path"]) for line in done) == sorted(good), shown
    pictures = {path.name for path in (output / "overlays").iterdir()}
    assert {line["overlay"] for line in done} == pictures
    assert len(pictures) == len(good), f"pictures overwrite each other: {pictures}"
    content = (output / "detections.json").read_bytes()
    assert sum(len(line["detections"]) for line in done) == len(json.loads(content))

    if draw.random() < 0.7:
        return RIGHT
    again = run()
    assert again.status == outcome.status, again.describe()
    assert f"({len(good)} done before" in again.output, again.describe()
    assert (output / "detections.json").read_bytes() == content
    return RIGHT


@seeds
def test_folders(seeds, predictor, dicom, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "MedMaskPredictor", lambda *_, **__: predictor)
    parents = iter(range(len(seeds)))

    def case(draw: random.Random) -> str:
        parent = tmp_path / str(next(parents))
        parent.mkdir()
        return check(predictor, dicom, parent, draw)

    assert run_campaign(seeds, case)[RIGHT] > len(seeds) / 2
