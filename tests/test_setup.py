"""What is built of the operator, and what is refused; no kernel is compiled."""

import importlib.util
import shutil
from pathlib import Path

import pytest
import setuptools
from torch.utils import cpp_extension

ROOT = Path(__file__).parents[1]


@pytest.fixture
def setup(monkeypatch):
    """The module of setup.py on a machine that could compile for CUDA."""
    monkeypatch.delenv("MEDMASK_CUDA", raising=False)
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")  # which setup.py would set
    monkeypatch.setattr(setuptools, "setup", lambda **options: None)
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("setup_of_medmask", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "builds_cuda", lambda wish: wish != "0")
    monkeypatch.setattr(module, "CUDAExtension", setuptools.Extension)
    monkeypatch.setattr(module, "CppExtension", setuptools.Extension)
    return module


def kernels_of(extensions):
    """The folders that the sources of the one extension are from."""
    (extension,) = extensions
    return {Path(source).parent.name for source in extension.sources}


@pytest.mark.parametrize(
    ("wish", "folders"),
    [
        ("", {"csrc", "cpu", "memory", "cuda"}),
        ("1", {"csrc", "cpu", "memory", "cuda"}),
        ("0", {"csrc", "cpu", "memory"}),
    ],
)
def test_wish_decides_on_the_cuda_kernels(setup, monkeypatch, wish, folders):
    monkeypatch.setenv("MEDMASK_CUDA", wish)
    assert kernels_of(setup.extensions()) == folders


@pytest.mark.parametrize("missing", ["all", "cuda"])
def test_missing_sources_are_said_and_refused_for_cuda(
    setup, monkeypatch, tmp_path, capsys, missing
):
    if missing == "cuda":
        folder = tmp_path / setup.SOURCES
        shutil.copytree(ROOT / setup.SOURCES, folder, ignore=shutil.ignore_patterns("cuda"))
    monkeypatch.chdir(tmp_path)
    if missing == "all":
        assert setup.extensions() == []
        assert "medmask/layers/csrc lacks the operator's sources" in capsys.readouterr().err
    else:
        assert kernels_of(setup.extensions()) == {"csrc", "cpu", "memory"}
    monkeypatch.setenv("MEDMASK_CUDA", "1")
    with pytest.raises(SystemExit, match="MEDMASK_CUDA=1 needs the operator's sources"):
        setup.extensions()


def test_missing_pytorch_is_said_and_refused_for_cuda(setup, monkeypatch, capsys):
    monkeypatch.setattr(setup, "torch", None)
    assert setup.extensions() == []
    assert "PyTorch is not importable here" in capsys.readouterr().err
    monkeypatch.setenv("MEDMASK_CUDA", "1")
    with pytest.raises(SystemExit, match="MEDMASK_CUDA=1 needs PyTorch"):
        setup.extensions()


def test_wish_of_another_word_is_refused(setup, monkeypatch):
    monkeypatch.setenv("MEDMASK_CUDA", "yes")
    with pytest.raises(SystemExit, match="must be 0 or 1, but is 'yes'"):
        setup.extensions()


@pytest.fixture
def build(setup, monkeypatch, tmp_path):
    """Builds an extension of one source and one header in place, without ninja."""
    if not shutil.which("c++"):
        pytest.skip("there is no C++ compiler")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cpp_extension, "is_ninja_available", lambda: False)
    (tmp_path / "operator.cpp").write_text('#include "operator.h"\n')
    build_ext = setup.build_commands()["build_ext"]

    def run(header):
        (tmp_path / "operator.h").write_text(header)
        extension = setuptools.Extension("operator", ["operator.cpp"])
        command = build_ext(setuptools.Distribution({"ext_modules": [extension]}))
        command.inplace = True
        command.ensure_finalized()
        command.run()
        return [path.read_bytes() for path in sorted(tmp_path.rglob("operator*.so"))]

    return run


def test_operator_is_built_again_where_a_header_has_changed(build):
    built, installed = build('extern "C" int first() { return 1; }')
    assert built == installed
    assert b"first" in built
    built, installed = build('extern "C" int second() { return 2; }')
    assert built == installed
    assert b"second" in built


def test_operator_that_does_not_compile_leaves_no_earlier_one(build, capsys):
    assert len(build("")) == 2
    assert build("#error this is no header") == []
    assert "the slower pure-PyTorch one will be used" in capsys.readouterr().err
