"""What the pages name exists: links, files, commands and their options, modules, config keys."""

import functools
import importlib
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medmask.commands.registry import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "MODEL_CARD.md",
        *(ROOT / "docs").glob("*.md"),
        ROOT / "benchmarks" / "README.md",
        ROOT / "configs" / "README.md",
        ROOT / "datasets" / "README.md",
    )
    if page.exists()
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"(?<![\w./])(?:configs|tools|medmask|benchmarks|tests)/(?!imagenet)[\w./-]*\w")
"""``medmask/imagenet`` is a row of ``benchmarks/detectors_table.py``."""
DOTTED = re.compile(r"(?<![\w.])medmask(?:\.\w+)+")
MADE_BY_THE_READER = ("configs/medmask/mine",)
"""Paths that a page tells the reader to make."""


def without_code(text):
    """A page without code and equations, in which brackets are no links."""
    return re.sub(r"^```.*?^```|\$\$.*?\$\$|\$[^$]*\$", "", text, flags=re.M | re.S)


def anchors(page, level=None):
    """The anchors of a page's headings, of all or of one level, as GitHub makes them."""
    marks = "#+" if level is None else "#" * level
    headings = re.findall(rf"^{marks} (.+)$", without_code(page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(params=PAGES, ids=NAMES)
def page(request):
    return request.param


def test_links_lead_somewhere(page):
    for link in LINK.findall(without_code(page.read_text())):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_contents_name_every_section(page):
    """Of pages that begin with links to their own sections."""
    text = page.read_text()
    linked = set(re.findall(r"\]\(#([\w-]+)\)", text.split("\n## ")[0]))
    if len(linked) > 3:
        assert anchors(page, level=2) <= linked


def test_tables_end_before_text(page):
    """GitHub takes a line right below a table for its last row."""
    lines = page.read_text().splitlines()
    for row, below in itertools.pairwise(lines):
        assert not row.startswith("|") or not below or below.startswith("|"), below


def test_paths_exist(page):
    for path in PATH.findall(page.read_text()):
        if not path.startswith(MADE_BY_THE_READER):
            assert (ROOT / path).exists(), path


def test_dotted_names_import(page):
    for name in DOTTED.findall(page.read_text()):
        parts = name.split(".")
        for split in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:split]))
            except ModuleNotFoundError:
                continue
            functools.reduce(getattr, parts[split:], found)  # AttributeError: there is none
            break


@functools.cache
def help_of(command):
    """What a command prints when it is asked for help."""
    return subprocess.run(
        [sys.executable, *command, "--help"], capture_output=True, text=True, check=True
    ).stdout


def commands(page):
    """The command lines of a page: lines of blocks without a language, continued ones joined."""
    blocks = re.findall(r"^```\n(.*?)^```", page.read_text(), re.M | re.S)
    for line in "".join(blocks).replace("\\\n", " ").splitlines():
        words = line.split("#")[0].split()
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # the environment
            words.pop(0)
        yield words


def options(words):
    return [word.split("=")[0] for word in words if re.match(r"--[a-z]", word)]


def test_options_exist(page):
    """Of ``medmask SUBCOMMAND`` and of scripts of the project."""
    for words in commands(page):
        if words[:1] == ["medmask"]:
            command, rest = ("-m", "medmask", words[1]), words[2:]
        elif words[:1] == ["python"] and words[1].endswith(".py") and words[1] != "setup.py":
            command, rest = (str(ROOT / words[1]),), words[2:]
        else:
            continue
        text = help_of(command)
        for option in options(rest):
            assert re.search(rf"{option}\b", text), f"{' '.join(words)}: no {option}"


def test_subcommands_exist(page):
    for span in re.findall(r"`medmask ([a-z][a-z-]*)[^`]*`", page.read_text()):
        assert span in COMMANDS


def test_commands_are_found():
    """The test before this one does look at commands."""
    assert sum(len(list(filter(options, commands(page)))) for page in PAGES) >= 10


@pytest.mark.parametrize("name", ["toy_stage.py", "toy_stage_config.py"])
def test_page_shows_the_stage_that_the_tests_run(name):
    code = (ROOT / "tests" / "stages" / name).read_text()
    assert f"```python\n{code}```\n" in (ROOT / "docs" / "extending.md").read_text()
