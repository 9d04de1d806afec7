"""The package's imports keep to the floor plan of CONTRIBUTING.md, and go in no circle.

Every import counts, also one inside a function or for types alone (``TYPE_CHECKING``).
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

Import = tuple[str, str]
"""The importing and the imported module."""


def find_modules(root: Path, package: str) -> dict[str, Path]:
    """The modules of a package by their full name; a package is its ``__init__``."""
    modules = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def find_imports(modules: dict[str, Path]) -> set[Import]:
    """All imports of one of the modules by another."""
    imports = set()
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imports |= {(name, target) for target in imported_names(node, modules)}
    return imports


def imported_names(node: ast.AST, modules: dict[str, Path]) -> Iterator[str]:
    """The modules that one import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, f"relative import of {node.module}: write the full name"
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            if name in modules:
                yield name
            elif node.module in modules:
                yield node.module


def find_circles(imports: set[Import]) -> list[set[str]]:
    """The largest sets of modules each of which imports all others, directly or not."""
    targets: dict[str, set[str]] = defaultdict(set)
    for source, target in imports:
        targets[source].add(target)
    reached: dict[str, set[str]] = {}
    for name in {name for pair in imports for name in pair}:
        found, queue = set(), [name]
        while queue:
            new = targets[queue.pop()] - found
            found |= new
            queue += new
        reached[name] = found
    circles = []
    for name, found in sorted(reached.items()):
        circle = {other for other in found if name in reached[other]}
        if circle and circle not in circles:
            circles.append(circle)
    return circles


def read_plan(text: str) -> dict[str, set[str]]:
    """The folders of the plan, lowest first, and those that each may import."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]+ \| ([^|]*) \|$", text, re.MULTILINE)
    plan: dict[str, set[str]] = {}
    for folders, allowed in rows:
        names = re.findall(r"`(\w+)`", folders)
        below = set(plan) if allowed == "all above" else set(re.findall(r"`(\w+)`", allowed))
        plan |= {name: below | set(names) for name in names}
    return plan


def find_faults(imports: set[Import], plan: dict[str, set[str]]) -> list[Import]:
    """The imports that the plan does not allow."""
    return sorted(
        (source, target)
        for source, target in imports
        if folder_of(target) not in plan[folder_of(source)]
    )


def folder_of(module: str) -> str:
    """The folder, or the file, of the top level in which a module lies."""
    package, *names = module.split(".")
    return names[0] if names else package


@pytest.fixture(scope="module")
def modules() -> dict[str, Path]:
    return find_modules(ROOT, "medmask")


@pytest.fixture(scope="module")
def imports(modules) -> set[Import]:
    return find_imports(modules)


@pytest.fixture(scope="module")
def plan() -> dict[str, set[str]]:
    return read_plan((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def test_no_circles(imports):
    assert not find_circles(imports)


def test_imports_go_down(imports, plan):
    assert not find_faults(imports, plan)


def test_plan_names_every_folder_and_no_other(modules, plan):
    assert {folder_of(name) for name in modules} == set(plan)


def test_plan_allows_imports_of_rows_above_only(plan):
    names = list(plan)
    for name, allowed in plan.items():
        below = names[: names.index(name) + 1]
        same_row = [other for other in names if plan[other] == allowed]
        assert allowed <= {*below, *same_row}, name


class TestReaders:
    """A check that finds nothing is worth something only if it would."""

    @pytest.fixture
    def package(self, tmp_path):
        files = {
            "low/__init__.py": "",
            "low/a.py": "def f():\n    from pkg.high.b import g\n",
            "low/c.py": "import pkg.low.a\n",
            "high/__init__.py": "from typing import TYPE_CHECKING\n",
            "high/b.py": "if TYPE_CHECKING:\n    from pkg.low import c\n",
        }
        for name, text in files.items():
            path = tmp_path / "pkg" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return find_modules(tmp_path, "pkg")

    def test_imports_in_functions_and_for_types_count(self, package):
        assert find_imports(package) == {
            ("pkg.low.a", "pkg.high.b"),
            ("pkg.low.c", "pkg.low.a"),
            ("pkg.high.b", "pkg.low.c"),
        }

    def test_circle_of_three(self, package):
        assert find_circles(find_imports(package)) == [{"pkg.low.a", "pkg.low.c", "pkg.high.b"}]

    def test_import_of_a_higher_floor(self, package):
        text = "| `low` | words | nothing |\n| `high` | words | `low` |\n"
        plan = read_plan(text)
        assert plan == {"low": {"low"}, "high": {"low", "high"}}
        assert find_faults(find_imports(package), plan) == [("pkg.low.a", "pkg.high.b")]
