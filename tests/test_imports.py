"""What imports load, what they register, and the public paths; each in a process of its own."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mini_mias_tree import many_films, write_mini_mias

ROOT = Path(__file__).parents[1]
LAZY_PACKAGES = ("medmask", "medmask.engine", "medmask.evaluation", "medmask.inference")


def run_python(program: str) -> str:
    """The stdout of a program."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FORGET_DETECTRON2 = """
import sys
for name in [name for name in sys.modules if name.split(".")[0] == "detectron2"]:
    del sys.modules[name]
"""
"""What a fork has, and a fresh interpreter has not."""
SEE_WHAT_IS_REGISTERED = """
from detectron2.data import DatasetCatalog
from detectron2.modeling import META_ARCH_REGISTRY
print("phantom_film_train" in DatasetCatalog, "MedMask" in META_ARCH_REGISTRY)
"""


@pytest.mark.parametrize(
    ("program", "registered"),
    [
        ("from medmask import add_medmask_config", "True True"),
        ("import medmask; medmask.add_medmask_config", "True True"),
        ("import medmask; medmask.data", "True True"),
        ("import medmask.data", "True False"),
        ("import medmask.modeling", "False True"),
        ("import medmask.data, medmask.modeling", "True True"),
        ("import detectron2.data; import medmask", "True True"),
        ("import detectron2.modeling; import medmask", "True True"),
        ("import detectron2.engine; from medmask.errors import InputError", "True True"),
        ("import medmask; import detectron2.data", "False False"),
        (
            "from detectron2.config import LazyConfig\n"
            "LazyConfig.load('configs/medmask/phantom/source_only.py')",
            "True True",
        ),
    ],
)
def test_registration_with_detectron2(forked_python, tmp_path, program, registered):
    file = tmp_path / "program.py"
    file.write_text(f"{FORGET_DETECTRON2}\n{program}\n{SEE_WHAT_IS_REGISTERED}")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = forked_python.run([file], timeout=300, cwd=ROOT, env=environment)
    assert (done.returncode, done.stdout.strip()) == (0, registered), done.stderr


def test_importing_the_package_alone_loads_neither_pytorch_nor_detectron2():
    program = "import medmask, sys; print({'torch', 'detectron2', 'numpy'} & set(sys.modules))"
    assert run_python(program).strip() == "set()"


def test_annotation_files_are_read_without_pytorch_and_detectron2():
    program = (
        "import medmask.coco, medmask.evaluation.ground_truth, sys\n"
        "print({'torch', 'detectron2', 'cv2', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    assert run_python(program).strip() == "set()"


def test_detection_files_are_evaluated_with_numpy_alone():
    program = (
        "from medmask.evaluation import average_precision, evaluate_detections, read_detections\n"
        "import sys\n"
        "print({'torch', 'detectron2', 'cv2', 'matplotlib', 'scipy', 'pycocotools'} "
        "& set(sys.modules))"
    )
    assert run_python(program).strip() == "set()"


def test_help_of_convert_loads_no_library():
    program = (
        "import sys\n"
        "from medmask.commands import convert\n"
        "print(len(convert.make_parser().format_help()) > 1000)\n"
        "print({'torch', 'detectron2', 'numpy', 'cv2', 'pydicom'} & set(sys.modules))"
    )
    assert run_python(program).split() == ["True", "set()"]


def test_converters_load_neither_pytorch_nor_detectron2():
    program = (
        "import sys\n"
        "from medmask.converters.registry import CONVERTERS, find_converter\n"
        "print(all(find_converter(name).name == name for name in CONVERTERS))\n"
        "print({'torch', 'detectron2', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    assert run_python(program).split() == ["True", "set()"]


def test_a_conversion_loads_neither_pytorch_nor_detectron2(tmp_path):
    raw = write_mini_mias(tmp_path / "raw", many_films(3))
    arguments = ["convert", "mini_mias", str(raw), "--output", str(tmp_path / "set")]
    program = (
        "import sys\n"
        "from medmask.commands.main import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "finally:\n"
        "    print({'torch', 'detectron2', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    assert run_python(program).split()[-1] == "set()"
    assert (tmp_path / "set" / "contact_sheet.png").exists()


@pytest.mark.parametrize("package", LAZY_PACKAGES)
def test_names_of_a_lazy_package_are_those_that_type_checkers_see(package):
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    seen = {}
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                seen |= {alias.name: line.module for alias in line.names}
    assert set(seen) == set(module.__all__) - {"__version__"}
    for name, source in seen.items():
        source = importlib.import_module(source)
        assert getattr(module, name) is getattr(source, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize("package", LAZY_PACKAGES)
def test_no_module_hides_a_name_of_a_lazy_package(package):
    module = importlib.import_module(package)
    files = {path.stem for path in Path(module.__file__).parent.iterdir()}
    hidden = {name for name in module.__all__ if name in files}
    assert hidden == ({"data", "modeling"} if package == "medmask" else set())


def test_public_import_paths_load_neither_matplotlib_nor_scipy():
    program = """
from medmask import add_medmask_config
from medmask.data import read_image, register_coco_dataset
from medmask.inference import MedMaskPredictor
from medmask.layers import ms_deform_attn, ms_deform_attn_fused
import medmask.inference.predictor, sys
print({"matplotlib", "scipy"} & set(sys.modules))
print(all(map(callable, (add_medmask_config, read_image, register_coco_dataset, MedMaskPredictor,
                         ms_deform_attn, ms_deform_attn_fused))))
"""
    assert run_python(program).split() == ["set()", "True"]
