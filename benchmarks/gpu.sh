#!/usr/bin/env bash
# Everything that needs a GPU to be known, in one run of at most 10 minutes.
#
#   benchmarks/gpu.sh [--device cuda|cpu] [--quick] OUT [PART...]
#
# Does all parts, or those that are named. Writes to the folder OUT, for each, PART.txt with all that it printed and, where it measures,
# PART.json; and summary.txt with a line for each. A part that fails or reaches its time limit does
# not stop the next. Exit status: 0 if no part failed, 1 if one did, 2 if nothing could be run.
#
#   environment  the GPU, the driver, the versions
#   build        compile the operator for this GPU, in place
#   tests        the tests that need a CUDA device
#   memcheck     compute-sanitizer over the operator's CUDA tests: accesses outside of memory
#   racecheck    the same: races between threads on shared memory
#   operator     tables of benchmarks/op.py, beside torch-ms-deform-attn and deformops
#   step         the full-size training step in float32 (benchmarks/training_step.py)
#   step_amp     the same with train.amp.enabled=True
#   phantom      stage 1 of the phantoms, trained from scratch and evaluated
#
# --device cpu leaves out what only a GPU can answer, and gives ten times the time; --quick makes
# everything tiny. Together they try this script in a minute or two. PYTHON names the interpreter (default: python).
set -uo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

readonly PARTS=(environment build tests operator step step_amp phantom memcheck racecheck)
DEVICE=cuda QUICK='' OUT='' CHOSEN=()
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --device) DEVICE=${2-} && shift ;;
    --quick) QUICK=1 ;;
    -*) echo "error: there is no option $1; see --help" >&2 && exit 2 ;;
    *) if [[ $OUT ]]; then CHOSEN+=("$1"); else OUT=$1; fi ;;
  esac
  shift
done
[[ $DEVICE == cuda || $DEVICE == cpu ]] || { echo "error: --device is cuda or cpu" >&2 && exit 2; }
[[ $OUT ]] || { echo "error: name a folder for the results; see --help" >&2 && exit 2; }
for part in "${CHOSEN[@]}"; do
  [[ " ${PARTS[*]} " == *" $part "* ]] || { echo "error: there is no part $part; see --help" >&2 && exit 2; }
done
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) || exit 2
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

PYTHON=${PYTHON:-python}
export DEVICE QUICK OUT PYTHON PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
readonly SKIPPED=77 # the status of a part that has nothing to do here
readonly SLOWNESS=$([[ $DEVICE == cuda ]] && echo 1 || echo 10)
readonly BUDGET=$((600 * SLOWNESS)) # seconds of all parts together
readonly KERNEL_TESTS=tests/layers/deformable_attention/test_cuda.py

skip() { echo "$1" && exit $SKIPPED; }
needs_cuda() { [[ $DEVICE == cuda ]] || skip "nothing to run: --device cpu"; }

environment() {
  ! command -v nvidia-smi || nvidia-smi
  "$PYTHON" -m medmask.collect_env || return
  [[ $DEVICE == cpu ]] || "$PYTHON" -c "import torch; torch.zeros(1, device='cuda')"
}

build() {
  needs_cuda
  MEDMASK_CUDA=1 "$PYTHON" setup.py build_ext --inplace --force
}

tests() {
  needs_cuda
  "$PYTHON" -m pytest -m cuda tests
}

sanitize() {
  needs_cuda
  local tool
  tool=$(PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin command -v compute-sanitizer) ||
    skip "nothing to run: compute-sanitizer of the CUDA toolkit is not installed"
  "$tool" --tool "$1" --error-exitcode 1 "$PYTHON" -m pytest -x "$KERNEL_TESTS"
}
memcheck() { sanitize memcheck; }
racecheck() { sanitize racecheck; }

operator() {
  local package options=(--batch 4 --repeats 50 --dtype float32 bfloat16 float16)
  for package in torch_ms_deform_attn deformops; do
    "$PYTHON" -c "import $package" 2>/dev/null || echo "$package is not installed: left out"
  done
  [[ ! $QUICK ]] || options=(--shape small-encoder --repeats 1 --entry projected --forward)
  "$PYTHON" benchmarks/op.py --device "$DEVICE" "${options[@]}" --json "$OUT/operator.json"
}

training_step() {
  local options=(--config-file configs/medmask/ddsm2inbreast/source_only.py)
  options+=(--synthetic 800x1333 --batch-size 2 --steps 5 --repeats 5)
  [[ ! $QUICK ]] || options=(--synthetic 64x48 --batch-size 2 --steps 1 --repeats 1)
  "$PYTHON" benchmarks/training_step.py "${options[@]}" "train.device=$DEVICE" "$@"
}
step() { training_step --json "$OUT/step.json"; }
step_amp() { training_step --json "$OUT/step_amp.json" train.amp.enabled=True; }

phantom() {
  local phantoms=() train=()
  export DETECTRON2_DATASETS=$OUT/datasets
  if [[ $QUICK ]]; then
    phantoms=(--size 48x64 --train 8 --val 4 --positive-fraction 0.9)
    train=(train.max_iter=4 dataloader.train.total_batch_size=2 dataloader.train.num_workers=0)
  fi
  "$PYTHON" tools/make_phantoms.py --output "$DETECTRON2_DATASETS/phantom" --domains film \
    --test 0 "${phantoms[@]}" &&
    "$PYTHON" tools/lazyconfig_train_net.py --config-file configs/medmask/phantom/source_only.py \
      "train.device=$DEVICE" "train.output_dir=$OUT/phantom" train.eval_period=0 "${train[@]}" &&
    tail -n 1 "$OUT/phantom/metrics.json" >"$OUT/phantom.json"
}

FAILED=0
# run PART SECONDS: one part, in a process of its own, if it is to be done.
run() {
  [[ ! ${CHOSEN[*]} || " ${CHOSEN[*]} " == *" $1 "* ]] || return 0
  local part=$1 limit=$(($2 * SLOWNESS)) start=$SECONDS status=0 left=$((BUDGET - SECONDS)) verdict
  limit=$((limit < left ? limit : left))
  if ((limit <= 0)); then
    verdict="failed: the $BUDGET s of all parts are over" FAILED=1
  else
    timeout --kill-after=10 "$limit" bash -c "$part" >"$OUT/$part.txt" 2>&1 || status=$?
    case $status in
      0) verdict=passed ;;
      "$SKIPPED") verdict="skipped: $(tail -n 1 "$OUT/$part.txt")" ;;
      124 | 137) verdict="failed: it reached its limit of $limit s" FAILED=1 ;;
      *) verdict="failed with status $status: see $part.txt" FAILED=1 ;;
    esac
  fi
  printf '%-12s %4d s  %s\n' "$part" $((SECONDS - start)) "$verdict" | tee -a "$OUT/summary.txt"
}

export SKIPPED KERNEL_TESTS
export -f skip needs_cuda sanitize training_step
export -f environment build tests memcheck racecheck operator step step_amp phantom
: >"$OUT/summary.txt"
run environment 60
run build 150
run tests 90
run operator 90
run step 60
run step_amp 60
run phantom 120
run memcheck 120
run racecheck 240
exit $FAILED
