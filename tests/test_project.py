"""The files about the project agree with the package and with each other."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import medmask

ROOT = Path(__file__).parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def moved_names():
    """The paths that the changelog says names have now."""
    rows = re.findall(r"^\| `(.+)` \| `(medmask[\w.]*)`(?:, `(\w+)`)? \|$", CHANGELOG, re.MULTILINE)
    for old, new, second in rows:
        names = [name.rsplit(".", 1)[-1] for name in re.findall(r"[\w.]+", old)]
        module, _, last = new.rpartition(".")
        if last in names or second:  # the row names the new path of each
            yield from ((module, name) for name in (last, second) if name)
        else:
            yield from ((new, name) for name in names if name[0].isupper() or "_" in name)


def test_version_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    version, day = re.search(r"^## (\S+) - (\S+)$", CHANGELOG, re.MULTILINE).groups()
    assert medmask.__version__ == citation["version"] == version
    assert citation["date-released"] == day


def test_citation_names_the_method_and_what_it_is_built_on():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    titles = " ".join(reference["title"] for reference in citation["references"])
    for word in ("MedMask", "D-MASTER", "Masked Retraining", "Deformable DETR", "Masked Autoenc"):
        assert word in titles
    for reference in citation["references"]:
        assert reference.keys() >= {"type", "title", "authors", "year"}


@pytest.mark.parametrize(("module", "name"), list(moved_names()))
def test_changelog_gives_paths_that_exist(module, name):
    assert hasattr(importlib.import_module(module), name)


def test_changelog_has_a_table_of_paths():
    assert len(list(moved_names())) > 25


NOT_INSTALLED = {"mlflow", "ray", "wandb"}
"""Extras that tests replace by stand-ins, or skip without: mlflow alone brings forty packages."""


def test_every_dependency_is_pinned(project):
    lines = (ROOT / "requirements" / "lock.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line}
    extras = project["optional-dependencies"].items()
    wanted = [project["dependencies"], *(x for name, x in extras if name not in NOT_INSTALLED)]
    names = {canonicalize_name(Requirement(line).name) for group in wanted for line in group}
    assert names <= pinned


def test_no_advice_builds_the_package_anew_without_its_operator():
    """As an isolated build of the clone would, which sees no PyTorch."""
    patterns = ("medmask/**/*.py", "configs/**/*.py", "*.md", "*/README.md", "docs/*.md")
    files = [file for pattern in patterns for file in ROOT.glob(pattern)]
    advice = re.compile(r"pip install ['\"]?\.\[")
    assert [f for f in files if advice.search(f.read_text(encoding="utf-8"))] == []


def test_type_information_is_marked():
    assert (Path(medmask.__file__).parent / "py.typed").exists()


def test_workflow_calls_the_gate_with_pinned_actions():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["gate"]["steps"]
    assert any(".ci/run" in step.get("run", "") for step in steps)
    for step in steps:
        assert "uses" not in step or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])


def test_command_is_a_function_of_the_package(project):
    module, _, name = project["scripts"]["medmask"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


QUESTION = re.compile(
    r"^(?:#: ?)?\s*r?\"\"\"(How|What|When|Where|Whether|Which|Who|Whom|Whose|Why)\b", re.MULTILINE
)


@pytest.mark.parametrize("folder", ["medmask", "benchmarks", "tools"])
def test_docstrings_begin_with_a_verb_or_a_noun_phrase(folder):
    found = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[1]}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for text in [path.read_text(encoding="utf-8")]
        for match in QUESTION.finditer(text)
    ]
    assert found == []
