"""Compiles the deformable-attention operator where that is possible; all else is pyproject.toml's.

    pip install --no-build-isolation .       install, with the operator compiled for this machine
    python setup.py build_ext --inplace      compile the operator for use from the source tree

The operator is compiled against the PyTorch of the environment that it will run in. An isolated
build (``pip install .``) sees no PyTorch; there, and without a compiler, the package installs all
the same and runs the operator in plain PyTorch, more slowly.

MEDMASK_CUDA=0 leaves the CUDA kernels out, MEDMASK_CUDA=1 insists on them; by default they are
built where nvcc is found. TORCH_CUDA_ARCH_LIST chooses the GPU architectures.
"""

import os
import shutil
import sys
from pathlib import Path

import setuptools

SOURCES = "medmask/layers/csrc"
DEFAULT_ARCHITECTURES = "8.0;9.0+PTX"  # where no GPU is there to ask

try:
    import torch
    from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CppExtension, CUDAExtension
except ImportError:
    torch = None


def say(sentence: str) -> None:
    print(f"medmask: {sentence}", file=sys.stderr)


def check_setuptools() -> None:
    """End with a sentence if setuptools, which an isolated build brings along, is too old."""
    if int(setuptools.__version__.split(".")[0]) < 77:
        sys.exit(
            f"medmask: setuptools {setuptools.__version__} is too old; run "
            '`pip install "setuptools>=77,<81"` first, or install without --no-build-isolation'
        )


def wish_for_cuda() -> str:
    """Read MEDMASK_CUDA: "0", "1", or "" where nothing is said."""
    wish = os.environ.get("MEDMASK_CUDA", "")
    if wish not in ("", "0", "1"):
        sys.exit(f"medmask: MEDMASK_CUDA must be 0 or 1, but is {wish!r}")
    return wish


def builds_cuda(wish: str) -> bool:
    """True where the CUDA kernels are wanted, or nothing is said and they can be compiled."""
    nvcc = CUDA_HOME and shutil.which("nvcc", path=Path(CUDA_HOME) / "bin")
    possible = nvcc is not None and torch.version.cuda is not None
    if wish == "1" and not possible:
        sys.exit("medmask: MEDMASK_CUDA=1 needs nvcc and a PyTorch built for CUDA")
    return possible and wish != "0"


def find_sources() -> tuple[list[str], list[str]]:
    """The sources without the CUDA kernels, and those of the CUDA kernels."""
    paths = sorted(path for path in Path(SOURCES).rglob("*") if path.suffix in (".cpp", ".cu"))
    cpu = [path.as_posix() for path in paths if path.parent.name != "cuda"]
    return cpu, [path.as_posix() for path in paths if path.parent.name == "cuda"]


def extensions() -> list:
    wish = wish_for_cuda()
    if torch is None:
        if wish == "1":
            sys.exit(
                "medmask: MEDMASK_CUDA=1 needs PyTorch, which is not importable here: install it "
                "first and use `pip install --no-build-isolation .`"
            )
        say(
            "PyTorch is not importable here, so the compiled operator is left out and the slower "
            "pure-PyTorch one will be used; to build it, install PyTorch first and use "
            "`pip install --no-build-isolation .`"
        )
        return []
    sources, cuda_sources = find_sources()
    if wish == "1" and not (sources and cuda_sources):
        sys.exit(
            f"medmask: MEDMASK_CUDA=1 needs the operator's sources, which {SOURCES} lacks: build "
            "from a whole clone or source distribution"
        )
    if not sources:
        say(
            f"{SOURCES} lacks the operator's sources, so the slower pure-PyTorch one will be used; "
            "to build it, take a whole clone or source distribution"
        )
        return []
    # Loops with comparisons are vectorized only if these may not trap; no result depends on it.
    # Vectors are only passed between inlined functions, so warnings about their ABI mean nothing.
    arguments = {"cxx": ["-O3", "-fno-trapping-math", "-fopenmp-simd", "-Wno-psabi", "-g0"]}
    if sys.platform == "linux":
        # Only compiled, not linked: the symbols are found in the OpenMP runtime that PyTorch has
        # loaded, so that the operator shares PyTorch's threads.
        arguments["cxx"].append("-fopenmp")
    kind = CppExtension
    if builds_cuda(wish) and cuda_sources:
        kind, sources = CUDAExtension, sources + cuda_sources
        arguments["nvcc"] = ["-O3"]
        if not torch.cuda.is_available():
            os.environ.setdefault("TORCH_CUDA_ARCH_LIST", DEFAULT_ARCHITECTURES)
    extension = kind(
        "medmask.layers._C", sources, extra_compile_args=arguments, py_limited_api=True
    )
    if "cudart" in extension.libraries:
        # As for OpenMP: PyTorch has loaded the CUDA runtime that it and the operator must share.
        extension.libraries.remove("cudart")
    return [extension]


def drop_cuda_sources(extension) -> bool:
    """Reduce the extension to its CPU kernels; tell whether it had others."""
    kept = [source for source in extension.sources if Path(source).parent.name != "cuda"]
    dropped = len(kept) < len(extension.sources)
    extension.sources = kept
    return dropped


def build_commands() -> dict:
    if torch is None:
        return {}

    class OptionalBuildExtension(BuildExtension):
        """Goes on without the CUDA kernels, or without the extension, where they do not compile."""

        def finalize_options(self) -> None:
            super().finalize_options()
            # Without ninja, an operator that is newer than its .cpp and .cu files would be kept,
            # whatever has changed in headers, settings or PyTorch.
            self.force = True

        def run(self) -> None:
            outputs = [path for extension in self.extensions for path in self._outputs(extension)]
            super().run()
            if not self.extensions:  # what an earlier build left would be taken for this one's
                for path in outputs:
                    path.unlink(missing_ok=True)

        def _outputs(self, extension: setuptools.Extension) -> list[Path]:
            """The extension's file in the build folder, and where it is built in place, there."""
            built = Path(self.build_lib, self.get_ext_filename(extension.name))
            return [built, Path(self.get_ext_fullpath(extension.name))]

        def build_extensions(self) -> None:
            try:
                super().build_extensions()
            except Exception as error:
                self._build_less(error)

        def _build_less(self, error: Exception) -> None:
            reason = str(error).strip()
            has_cuda = any(drop_cuda_sources(extension) for extension in self.extensions)
            if has_cuda and os.environ.get("MEDMASK_CUDA") == "1":
                sys.exit(f"medmask: the CUDA kernels could not be built ({reason})")
            if has_cuda:
                say(f"the CUDA kernels could not be built ({reason}); going on without them")
                self.build_extensions()
            else:
                say(
                    f"the compiled operator could not be built ({reason}); the slower "
                    "pure-PyTorch one will be used"
                )
                self.extensions = []

    return {"build_ext": OptionalBuildExtension}


check_setuptools()
setuptools.setup(
    ext_modules=extensions(),
    cmdclass=build_commands(),
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
