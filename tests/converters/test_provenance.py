"""Versions of MedMask in ``provenance.json``; whole conversions test what else it says."""

import json
from dataclasses import replace

import pytest
from mini_mias_tree import many_films, write_mini_mias

from medmask.converters import image_files, provenance
from medmask.converters.options import ConversionOptions
from medmask.converters.run import convert
from medmask.version import __version__

MALIGNANT = ConversionOptions(max_size=64, labels=("malignant",))
LESION = replace(MALIGNANT, labels=("lesion",))
NOW = f"medmask {__version__}"


@pytest.fixture
def raw(tmp_path):
    return write_mini_mias(tmp_path / "raw", many_films(3))


def read(output):
    return json.loads((output / "provenance.json").read_text())


def test_files_of_an_earlier_version_keep_its_name(raw, tmp_path, monkeypatch):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        for module in (image_files, provenance):
            patch.setattr(module, "__version__", "0.0.1")
        convert("mini_mias", raw, output, MALIGNANT)
    (output / "images/mdb002.png").unlink()
    convert("mini_mias", raw, output, LESION)
    content = read(output)
    files = content["annotation_files"]
    assert content["converter"] == NOW
    assert files["instances_all.json"]["converter"] == "medmask 0.0.1"
    assert files["instances_all_lesion.json"]["converter"] == NOW
    assert content["sources"]["images_written_by"] == {"medmask 0.0.1": 2, NOW: 1}


def test_a_tree_that_does_not_tell_versions_goes_on(raw, tmp_path):
    output = tmp_path / "out"
    convert("mini_mias", raw, output, MALIGNANT)
    content = read(output)
    for file in content["annotation_files"].values():
        del file["converter"]
    del content["sources"]["images_written_by"]
    (output / "provenance.json").write_text(json.dumps(content))
    settings, *lines = map(json.loads, (output / "images.jsonl").read_text().splitlines())
    for line in lines:
        del line["written"]["version"]
    (output / "images.jsonl").write_text("".join(json.dumps(x) + "\n" for x in (settings, *lines)))
    images = {path: path.stat().st_mtime_ns for path in (output / "images").iterdir()}
    convert("mini_mias", raw, output, LESION)
    assert {path: path.stat().st_mtime_ns for path in (output / "images").iterdir()} == images
    content = read(output)
    files = content["annotation_files"]
    assert "converter" not in files["instances_all.json"]
    assert files["instances_all_lesion.json"]["converter"] == NOW
    assert content["sources"]["images_written_by"] == {"not known": 3}
