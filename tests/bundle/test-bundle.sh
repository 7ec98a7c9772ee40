#!/bin/bash
# The archive's own scripts, without the archive: test-bundle.sh SOURCE
#   the scripts are sound, and gpu.sh runs, counts, is ended and gives up as it says, over programs that only pretend.
set -u
source=$1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0
unset PYTHON GPU_SECONDS TESSERA_CUDNN TESSERA_NCCL TESSERA_BENCH_BACKEND BENCH_PATCH

# report NAME STATUS: what the last command said is told where it failed.
report () {
  n=$((n + 1))
  if [ "$2" = 0 ]; then echo "ok $n - $1"; else
    sed 's/^/# /' "$tmp/out"
    echo "not ok $n - $1"
  fi
}

# program NAME: from standard input
program () {
  cat >"$root/$1"
  chmod +x "$root/$1"
}

# gpu ARGUMENTS...: gpu.sh with a folder of results of its own; its last line in $last
gpu () {
  local status=0
  rm -rf "$tmp/results"
  OUT=$tmp/results "$root/gpu.sh" "$@" >"$tmp/out" 2>&1 || status=$?
  last=$(tail -n 1 "$tmp/out")
  return "$status"
}

root=$tmp/archive
mkdir -p "$root/bin" "$root/backends" "$root/tests/bench"
cp "$source/tests/bundle/gpu.sh" "$root"
echo 2.0 >"$root/glibc"
program bin/tessera-cli <<'X'
#!/bin/sh
echo "libraries: $LD_LIBRARY_PATH"
[ "${TESSERA_CUDNN:-}" != none ] || [ -z "${HAS_CARD:-}" ] && can=false || can=true
case "$*" in *--json*) printf '"id": "cpu",\n"available": true,\n"id": "cuda",\n"available": %s,\n"reason": "nothing here",\n' $can ;; esac
X
program bin/test-cuda-gpu <<'X'
#!/bin/sh
printf 'TAP version 13\nok 1 /a # SKIP no driver\n1..1\n'
X
program bin/test-cuda-plans <<'X'
#!/bin/sh
printf 'ok 1 /a\nok 2 /b\n1..2\n'
X
cp "$root/bin/test-cuda-plans" "$root/bin/test-cuda-cache"
cp "$root/bin/test-cuda-plans" "$root/bin/test-cpu-ops"
cp "$root/bin/test-cuda-plans" "$root/bin/test-cpu-parity"
program cli.sh <<'X'
#!/bin/sh
printf 'ok 1 - a\nok 2 - b # SKIP there is no GPU\n1..2\n'
[ $# = 3 ] && [ -z "$3" ]
X
for name in gpu-step loader predict; do
  printf '#!/bin/sh\necho "no GPU for this" >&2\nexit 77\n' | program "bin/bench-$name"
done

echo 1..15
{ bash -n "$source/tests/bundle/gpu.sh" && bash -n "$source/tests/bundle/make.sh" && bash -n "$source/dev" &&
  sh -n "$source/tests/bundle/cli.sh"; } >"$tmp/out" 2>&1
report "the scripts are sound" $?

gpu test && [ "$last" = "9 passed, 0 failed, 10 skipped" ] && grep -q '^no GPU: nothing here$' "$tmp/out" &&
  [ "$(tail -n 1 "$tmp/results/summary.txt")" = "$last" ]
report "tests without a GPU are counted" $?

mkdir -p "$tmp/nvidia/cudnn/lib" "$tmp/nvidia/cu13/lib"
: >"$tmp/nvidia/cudnn/lib/libcudnn.so.9"
printf '#!/bin/sh\necho "%s"\n' "$tmp/nvidia" | program python
PYTHON=$root/python LD_LIBRARY_PATH=/elsewhere GPU_SECONDS=3 gpu test
grep -qx "libraries: $tmp/nvidia/cudnn/lib:/elsewhere:$tmp/nvidia/cu13/lib:$tmp/nvidia/cudnn/lib" "$tmp/results/machine.txt"
report "all of cuDNN is of one place" $?

HAS_CARD=1 GPU_SECONDS=3 gpu test
grep -qx 'no cuDNN, so our own convolutions alone: nothing here' "$tmp/results/summary.txt" &&
  grep -qx 'TESSERA_CUDNN: none' "$tmp/results/machine.txt"
report "a card without cuDNN" $?

gpu bench
[ $? = 1 ] && [ "$last" = "0 passed, 0 failed, 5 skipped" ] && grep -q '^skipped: loader: no GPU for this$' "$tmp/out"
report "benchmarks without a GPU say so" $?

program bin/bench-gpu-step <<'X'
#!/bin/sh
[ "${G_MESSAGES_DEBUG:-}" = tessera ] || exit 1
printf '(process:1): tessera-DEBUG: CUDA: a program runs op by op: it is Monday\n{"bench": "gpu-step"}\n'
X
PYTHON=none gpu bench
[ "$last" = "1 passed, 0 failed, 4 skipped" ] && [ "$(cat "$tmp/results/bench.jsonl")" = '{"bench": "gpu-step"}' ] &&
  grep -q '^  slower than it should be, times 1 a program runs op by op: it is Monday$' "$tmp/results/summary.txt"
report "a benchmark that was slower than it should be" $?

PATH=/usr/bin:/bin gpu sanitize
[ "$last" = "0 passed, 0 failed, 1 skipped" ] || [ "$last" = "0 passed, 0 failed, 6 skipped" ]
report "the sanitizer without itself or a GPU" $?

GPU_SECONDS=3 gpu test
[ $? = 1 ] && [ "$last" = "0 passed, 0 failed, 14 skipped" ] && grep -q 'no time was left$' "$tmp/out"
report "what there is no time for is skipped" $?

program bin/test-cpu-ops <<'X'
#!/bin/sh
printf 'ok 1 /a\ntessera:ERROR:b.c:1:b: assertion failed (error == NULL): it is Monday\nnot ok 2 /b\nok 3 /c\n'
kill -SEGV $$
X
gpu test
[ $? = 1 ] && [ "$last" = "9 passed, 1 failed, 10 skipped" ] && grep -q '^  not ok 2 /b$' "$tmp/results/summary.txt" &&
  grep -q '^  assertion failed (error == NULL): it is Monday$' "$tmp/results/summary.txt"
report "a failed case and a crash" $?

printf '#!/bin/sh\nprintf "ok 1 /a\\n"\nkill -SEGV $$\n' | program bin/test-cpu-ops
gpu test
[ $? = 1 ] && [ "$last" = "8 passed, 1 failed, 10 skipped" ]
report "a crash alone is a failure" $?

printf '#!/bin/sh\nexit 0\n' | program bin/test-cpu-ops
gpu test
[ $? = 1 ] && [ "$last" = "7 passed, 1 failed, 10 skipped" ]
report "a program that says nothing is a failure" $?

# Ended from outside in the middle: what came before counts, and the step that ran has failed.
printf '#!/bin/sh\necho running\nexec sleep 100\n' | program bin/test-cpu-ops
rm -rf "$tmp/results"
OUT=$tmp/results "$root/gpu.sh" test >"$tmp/out" 2>&1 &
pid=$!
until grep -qs running "$tmp/results/cpu-ops.log" || ! kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
kill -TERM "$pid"
wait "$pid"
[ $? = 1 ] && [ "$(tail -n 1 "$tmp/out")" = "5 passed, 1 failed, 10 skipped" ] && grep -q '^failed: cpu-ops: ended from outside' "$tmp/out"
report "ended from outside" $?

echo 99.0 >"$root/glibc"
gpu test
[ $? = 1 ] && [ "$last" = "0 passed, 1 failed, 0 skipped" ] && grep -q "glibc is .*programs need 99.0; use Ubuntu 22.04" "$tmp/out"
report "a glibc that is too old" $?
echo 2.0 >"$root/glibc"

printf '#!/bin/sh\necho "libglib: not found" >&2\nexit 127\n' | program bin/tessera-cli
gpu test
[ $? = 1 ] && [ "$last" = "0 passed, 1 failed, 0 skipped" ] && grep -q "do not start here: libglib: not found" "$tmp/out"
report "programs that do not start" $?

gpu best
[ $? = 2 ] && grep -q 'no command "best"' "$tmp/out"
report "a command that is none" $?
