#!/usr/bin/env bash
# Tessera on a machine with a GPU, out of the unpacked archive that `./dev bundle` makes. `./gpu.sh help` lists what it
# does. Needs glibc, bash and coreutils; the GPU's driver and cuDNN are the machine's, Python and PyTorch if they are there.
set -uo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

help () {
  cat <<'TEXT'
Usage: ./gpu.sh test | bench | sanitize

  test      the CUDA plugin's tests, then training and prediction with --backend cuda beside --backend cpu
  bench     the training step beside PyTorch's on this card, the loader, the segmentation of a large scan; JSON lines
  sanitize  compute-sanitizer's memcheck over patches, bands and training steps of small networks

What every step said goes to a log of its own in $OUT (./results unless told), what came of it to $OUT/summary.txt as it
comes. The last line counts: N passed, N failed, N skipped. It is also printed when it is ended from outside.

Environment: OUT; PYTHON (python3), for PyTorch and the libraries it brings; GPU_SECONDS (520), how long all steps
together may take; TESSERA_CUDNN and TESSERA_NCCL, else those of that Python, else those of the system.
TEXT
}

fail () { printf 'gpu.sh: %s\n' "$*" >&2; }

# --- steps ------------------------------------------------------------------------------------------------------

passed=0 failed=0 skipped=0 child=

say () { printf '%s\n' "$*" | tee -a "$OUT/summary.txt"; }

finish () {
  trap '' EXIT INT TERM HUP
  if [ -n "$child" ]; then
    kill "$child" 2>/dev/null
    failed=$((failed + 1))
    say "failed: $name: ended from outside; see $OUT/$name.log"
  fi
  say "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
  exit $?
}

left () { echo $((limit - SECONDS)); }

skip () {
  skipped=$((skipped + 1))
  say "skipped: $1: $2"
}

# count_tap STATUS: the cases that a test program reported, and one more that failed where it ended badly besides
count_tap () {
  local good bad missed
  missed=$(grep -cE '^ok .*# *SKIP' "$log")
  good=$(($(grep -cE '^ok ' "$log") - missed))
  bad=$(grep -cE '^not ok ' "$log")
  if [ "$1" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
  if [ "$1" = 0 ] && [ $((good + bad + missed)) = 0 ]; then bad=1; fi
  passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + missed))
  say "$name: $good passed, $bad failed, $missed skipped ($took s)$(ended "$1")"
  # With the reasons: of this file all may come back from where it ran, and of the logs but some.
  grep -oE '^not ok .*|assertion failed.*|^Bail out.*' "$log" | cut -c 1-300 | head -n 40 | sed 's/^/  /' | tee -a "$OUT/summary.txt"
  grep -oE '# *SKIP.*' "$log" | sort | uniq -c | sort -rn | head -n 3 | sed 's/^ */  /' | tee -a "$OUT/summary.txt"
}

ended () {
  case "$1" in
    0 | 1) ;;
    124 | 137) printf '; ended after %s s' "$took" ;;
    *) printf '; exit status %s' "$1" ;;
  esac
}

# step NAME SECONDS tap|plain COMMAND...: with what is left of all time at most. plain: one case, 77 means skipped.
step () {
  local seconds=$2 kind=$3 status=0 begun=$SECONDS
  name=$1
  shift 3
  log=$OUT/$name.log
  if [ "$(left)" -lt 5 ]; then
    skip "$name" "no time was left"
    return 0
  fi
  if [ "$(left)" -lt "$seconds" ]; then seconds=$(left); fi
  # In the background, as a shell that waits for a command in the foreground would hear no signal.
  timeout -k 5 "$seconds" "$@" >"$log" 2>&1 </dev/null &
  child=$!
  wait "$child" || status=$?
  child=
  took=$((SECONDS - begun))
  if [ "$kind" = tap ]; then
    count_tap "$status"
  elif [ "$status" = 77 ]; then
    skip "$name" "$(tail -n 1 "$log")"
  elif [ "$status" = 0 ]; then
    passed=$((passed + 1))
    say "passed: $name ($took s)"
  else
    failed=$((failed + 1))
    say "failed: $name ($took s$(ended "$status")): $(tail -n 1 "$log")"
  fi
  note_slow
  return "$status"
}

# What the plugin could not do as it should, and did more slowly; only who debugs is told.
note_slow () {
  grep -oE 'a program runs op by op: .*|a convolution is left to our own kernel: .*' "$log" | cut -c 1-200 | sort | uniq -c |
    sort -rn | head -n 3 | sed 's/^ */  slower than it should be, times /' | tee -a "$OUT/summary.txt"
}

# --- what the machine has ---------------------------------------------------------------------------------------

# check_libc: the programs are built on Debian 12 and take libc from here.
check_libc () {
  local have need
  need=$(cat "$here/glibc")
  have=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //')
  if [ -z "$have" ]; then
    fail "this system's C library is not glibc; use Ubuntu 22.04, Debian 12 or later"
    return 1
  fi
  if [ "$(printf '%s\n' "$need" "$have" | sort -V | head -n 1)" != "$need" ]; then
    fail "this system's glibc is $have, and the programs need $need; use Ubuntu 22.04, Debian 12 or later"
    return 1
  fi
}

# nvidia_folder: where Python's packages from NVIDIA lie, which PyTorch brings
nvidia_folders () {
  [ -z "$python" ] || "$python" -c '
import importlib.util
spec = importlib.util.find_spec("nvidia")
print("\n".join(spec.submodule_search_locations if spec else []))' 2>/dev/null
}

find_libraries () {
  local folder file
  python=$(command -v "${PYTHON:-python3}" || true)
  cuda_folders=
  while IFS= read -r folder; do
    [ -n "$folder" ] || continue
    for file in "$folder"/cudnn/lib/libcudnn.so.9 "$folder"/*/lib/libcudnn.so.9; do
      if [ -f "$file" ]; then export TESSERA_CUDNN=${TESSERA_CUDNN:-$file}; fi
    done
    for file in "$folder"/nccl/lib/libnccl.so.2 "$folder"/*/lib/libnccl.so.2; do
      if [ -f "$file" ]; then export TESSERA_NCCL=${TESSERA_NCCL:-$file}; fi
    done
    # What cuDNN opens besides (the compiler of kernels, cuBLAS) lies in folders beside it.
    for file in "$folder"/*/lib; do
      if [ -d "$file" ]; then cuda_folders=$cuda_folders${cuda_folders:+:}$file; fi
    done
  done < <(nvidia_folders)
  if [ -z "${TESSERA_NCCL:-}" ]; then
    file=$(ldconfig -p 2>/dev/null | sed -n 's/.*libnccl\.so\.2 .*=> //p' | head -n 1)
    if [ -n "$file" ]; then export TESSERA_NCCL=$file; fi
  fi
  # After what the system has: ours is found by the programs themselves. But cuDNN is several libraries, which must be of
  # one version: before the system's where it is not the system's.
  if [ -n "$cuda_folders" ]; then export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$cuda_folders; fi
  if [ -f "${TESSERA_CUDNN:-}" ]; then LD_LIBRARY_PATH=$(dirname "$TESSERA_CUDNN")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; fi
  if [ -d "${TESSERA_CUDNN:-}" ]; then LD_LIBRARY_PATH=$TESSERA_CUDNN${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; fi
  [ -z "${LD_LIBRARY_PATH:-}" ] || export LD_LIBRARY_PATH
}

# device: TRUE with a card that the plugin can use; why_not says why there is none
device () {
  why_not=$("$here/bin/tessera-cli" devices --json 2>/dev/null | awk '/"id" *: *"cuda"/ { cuda = 1 }
    cuda && /"available" *: *true/ { found = 1 }
    cuda && /"reason" *:/ { sub (/^.*"reason" *: *"/, ""); sub (/",?$/, ""); print }
    END { exit !found }')
}

describe () {
  uname -srm
  getconf GNU_LIBC_VERSION
  printf 'python: %s\nTESSERA_CUDNN: %s\nTESSERA_NCCL: %s\n' "${python:-none}" "${TESSERA_CUDNN:-the system}" \
    "${TESSERA_NCCL:-none}"
  nvidia-smi 2>&1
  "$here/bin/tessera-cli" devices
}

# --- commands ---------------------------------------------------------------------------------------------------

cmd_test () {
  local part
  # One after the other, each with a clock of its own: with cuDNN, in TF32, by our own kernels, in bfloat16, ...
  for part in ops/f32 ops/tf32 ops/own ops/bf16 parity trajectory train graph; do
    step "cuda-gpu-${part/\//-}" 100 tap "$here/bin/test-cuda-gpu" --tap -p "/cuda/gpu/$part"
  done
  step cuda-gpu-data 60 tap "$here/bin/test-cuda-gpu" --tap -p /cuda/gpu/sums -p /cuda/gpu/band -p /cuda/gpu/band-near \
    -p /cuda/gpu/sample -p /cuda/gpu/ahead
  step cli 150 tap "$here/cli.sh" "$here/bin/tessera-cli" "$OUT/cli" "$($has_gpu && echo cuda)"
  if [ -x "$here/bin/test-cuda-gpu-ranks" ]; then
    TESSERA_TEST_MPI_PLUGIN=$here/backends/libtessera-mpi.so step cuda-gpu-ranks 200 tap "$here/bin/test-cuda-gpu-ranks" --tap
  fi
  # What needs no card comes last: a card may be lent for minutes.
  step cuda-plans 100 tap "$here/bin/test-cuda-plans" --tap
  step cuda-cache 40 tap "$here/bin/test-cuda-cache" --tap
  step cpu-ops 60 tap "$here/bin/test-cpu-ops" --tap
  step cpu-parity 60 tap "$here/bin/test-cpu-parity" --tap
}

# bench_step NAME SECONDS COMMAND...: its JSON lines are shown and kept
bench_step () {
  step "$1" "$2" plain "${@:3}"
  if [ -f "$OUT/$1.log" ]; then grep '^{' "$OUT/$1.log" | tee -a "$OUT/bench.jsonl"; fi
}

# beside PEER PACKAGE SECONDS NAME: what NAME printed, joined with what its peer prints, a script that takes a PACKAGE of
# Python's
beside () {
  local module=$2 seconds=$3 name=$4
  if ! grep -qs '^{' "$OUT/$name.log"; then
    skip "$name-beside-$1" "there is nothing of ours to compare with"
  elif [ -z "$python" ]; then
    skip "$name-beside-$1" "there is no Python here (give one that has $module in PYTHON)"
  elif ! "$python" -c "import $module" 2>/dev/null; then
    skip "$name-beside-$1" "$python has no $module (give one that has it in PYTHON)"
  elif [ "$seconds" -le 20 ]; then
    skip "$name-beside-$1" "no time was left"
  else
    grep '^{' "$OUT/$name.log" >"$OUT/$name.jsonl"
    BENCH_PEER_SECONDS=$seconds BENCH_SECONDS=$((seconds / 2)) bench_step "$name-beside-$1" "$((seconds + 5))" \
      "$python" "$here/tests/bench/run.py" "$OUT/$name.jsonl" "$here/tests/bench/bench_${name//-/_}_peer.py"
  fi
}

cmd_bench () {
  export TESSERA_BENCH_BACKEND=${TESSERA_BENCH_BACKEND:-cuda}
  rm -f "$OUT/bench.jsonl"
  export G_MESSAGES_DEBUG=tessera # see note_slow
  bench_step gpu-step 120 "$here/bin/bench-gpu-step"
  BENCH_PATCH=${BENCH_PATCH:-128} bench_step loader 80 "$here/bin/bench-loader"
  bench_step predict 120 "$here/bin/bench-predict"
  beside batchgeneratorsv2 batchgeneratorsv2 60 loader
  # All the rest; no new way of PyTorch's is begun in the second half, as compiling one takes a while.
  beside pytorch torch $(($(left) - 10)) gpu-step
}

# find_sanitizer: on PATH, beside CUDA, or in a package of Python's
find_sanitizer () {
  local folder
  command -v compute-sanitizer && return 0
  for folder in /usr/local/cuda/bin /usr/local/cuda/compute-sanitizer /usr/local/cuda-*/bin /usr/local/cuda-*/compute-sanitizer; do
    if [ -x "$folder/compute-sanitizer" ]; then echo "$folder/compute-sanitizer"; return 0; fi
  done
  while IFS= read -r folder; do
    find "$folder" -name compute-sanitizer -type f -perm -u+x 2>/dev/null
  done < <(nvidia_folders) | head -n 1 | grep .
}

cmd_sanitize () {
  local part cudnn sanitizer
  if ! sanitizer=$(find_sanitizer); then
    skip sanitize "compute-sanitizer is not installed here (it comes with the CUDA toolkit)"
    return 0
  fi
  # What is newest first. Our kernels share no memory among threads, so there is nothing for racecheck; what cuDNN asks
  # the driver for in vain is no fault of ours. own: our own convolutions.
  for part in sample band own/train/plain-3d train/tiny train/plain-3d train/residual-3d; do
    if $has_gpu; then
      # Kernels are seen op by op; what is captured are the same.
      if [ "${part%%/*}" = own ]; then cudnn=none; else cudnn=${TESSERA_CUDNN:-}; fi
      step "memcheck-${part//\//-}" 90 plain env TESSERA_CUDA_GRAPH=0 TESSERA_CUDNN="$cudnn" "$sanitizer" --tool memcheck \
        --report-api-errors no --error-exitcode 42 "$here/bin/test-cuda-gpu" --tap -p "/cuda/gpu/${part#own/}"
    else
      skip "memcheck-${part//\//-}" "$why_not"
    fi
  done
}

command=${1:-}
case "$command" in
  test | bench | sanitize) ;;
  help | --help | -h) help; exit 0 ;;
  '') help >&2; exit 2 ;;
  *) fail "there is no command \"$command\"; ./gpu.sh help lists them"; exit 2 ;;
esac
OUT=${OUT:-$PWD/results}
limit=${GPU_SECONDS:-520}
mkdir -p "$OUT" || exit 1
OUT=$(cd "$OUT" && pwd)
: >"$OUT/summary.txt" || exit 1
trap finish EXIT
trap 'exit 1' INT TERM HUP
if ! check_libc 2>&1 | tee -a "$OUT/summary.txt" >&2; then
  failed=1
  exit 1
fi
# What the programs look for, and nothing of the user's own folders.
export TESSERA_BACKEND_DIR=$here/backends TESSERA_TEST_CUDA_PLUGIN=$here/backends/libtessera-cuda.so
export TESSERA_TEST_CLI=$here/bin/tessera-cli G_TEST_SRCDIR=$here/tests G_TEST_BUILDDIR=$here/tests
export LANGUAGE=en LC_ALL=C.UTF-8 XDG_CACHE_HOME=$OUT/cache PYTHONDONTWRITEBYTECODE=1
find_libraries
if ! "$here/bin/tessera-cli" --version >"$OUT/start.log" 2>&1; then
  failed=1
  say "failed: the programs do not start here: $(tail -n 1 "$OUT/start.log")"
  exit 1
fi
has_gpu=false
if device; then has_gpu=true
else
  reason=${why_not:-none was found}
  if TESSERA_CUDNN=none device; then
    export TESSERA_CUDNN=none
    has_gpu=true
    say "no cuDNN, so our own convolutions alone: $reason"
  else
    why_not=$reason
    say "no GPU: $why_not"
  fi
fi
describe >"$OUT/machine.txt" 2>&1
"cmd_$command"
