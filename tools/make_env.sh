#!/usr/bin/env bash
# Creates the virtual environment that `make` uses: the pinned packages, Detectron2, and MedMask
# itself with its compiled operator. Run again, it only does what has changed.
# Settings: VENV (default .venv), BASE_PYTHON (the interpreter to start from).
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${VENV:-.venv}
stamps=$venv/.medmask
say() { printf '[env] %s\n' "$*"; }
die() { printf '[env] error: %s\n' "$*" >&2; exit 1; }

# The newest interpreter that the pinned packages support.
find_python() {
  local candidate
  for candidate in "${BASE_PYTHON:-}" python3.11 python3.12 python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  die "no Python 3.11 or 3.12 was found; install one, or name it: make env BASE_PYTHON=/path/to/python"
}

# up_to_date NAME FILE...: whether step NAME was done with just these files.
checksum() { cat "$@" | cksum; }
up_to_date() { local name=$1; shift; [ "$(cat "$stamps/$name" 2>/dev/null)" = "$(checksum "$@")" ]; }
done_with() { local name=$1; shift; checksum "$@" >"$stamps/$name"; }

if [ ! -x "$venv/bin/python" ]; then
  python=$(find_python)
  say "creating $venv with $("$python" --version)"
  "$python" -m venv "$venv" || die "$python cannot create an environment; on Debian: apt-get install python3-venv"
fi
python=$venv/bin/python
mkdir -p "$stamps"

if ! up_to_date packages requirements/lock.txt; then
  say "installing the pinned packages: a few minutes and 5 GB the first time"
  "$python" -m pip install --quiet --disable-pip-version-check -r requirements/lock.txt \
    || die "pip could not install requirements/lock.txt; its message above names the package"
  done_with packages requirements/lock.txt
fi

if ! "$python" -c 'import detectron2' 2>/dev/null; then
  say "installing Detectron2 (hash-checked)"
  site_packages=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  # The wheel is tagged for Python 3.10, but its Python code runs on later versions, too.
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.10 --implementation cp --require-hashes --target "$site_packages" \
    -r requirements/detectron2.txt \
    || die "pip could not install Detectron2; install it from its official source into $venv and run make again"
fi

if ! up_to_date validators requirements/validators.txt; then
  say "installing what DICOM results are validated with"
  if "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
    -r requirements/validators.txt; then
    done_with validators requirements/validators.txt
  else
    say "it cannot be had here: the tests that need it are skipped"
  fi
fi

mapfile -t build_inputs < <(printf 'setup.py\npyproject.toml\n'; find medmask/layers/csrc -type f | sort)
compiler=$(command -v "${CXX:-c++}" || true)
nvcc=$(command -v nvcc || true)
build="medmask${compiler:+-compiler}${nvcc:+-nvcc}-cuda${MEDMASK_CUDA:-auto}"
if ! up_to_date "$build" "${build_inputs[@]}"; then
  if [ -n "$compiler" ]; then
    say "building MedMask and its compiled operator: a minute or two"
  else
    say "no C++ compiler was found: the slower pure-PyTorch operator will be used (to change that, install g++ and run make env again)"
  fi
  if ! "$python" -m pip install --verbose --disable-pip-version-check --no-deps \
    --no-build-isolation --editable . >"$stamps/build.log" 2>&1; then
    tail -n 20 "$stamps/build.log" >&2
    die "MedMask could not be installed; the whole log is $stamps/build.log"
  fi
  if [ -n "$compiler" ] && ! compgen -G 'medmask/layers/_C*.so' >/dev/null; then
    say "the compiled operator was not built (see $stamps/build.log): the slower pure-PyTorch one will be used"
  fi
  rm -f "$stamps"/medmask*
  done_with "$build" "${build_inputs[@]}"
fi
say "ready: $("$python" - <<'PYTHON'
import torch
from medmask.layers import available_implementations

print(
    f"torch {torch.__version__},",
    f"GPU {torch.cuda.get_device_name()}," if torch.cuda.is_available() else "no GPU,",
    "operator:", ", ".join(available_implementations()),
)
PYTHON
)"
