#!/bin/sh
# The command line with --backend cuda and without a GPU: cli.sh TESSERA_CLI
#   with the plugin over a runtime that only looks like CUDA's, training logs what it logs on the processor's own
#   backend, and the model segments the same voxels, also on a card with little room; a card is chosen; two processes
#   under mpirun, each with a card of its own, log what one logs, and one that fails alone ends both (where the MPI plugin
#   is built and mpirun installed).
set -u
cli=$1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
LC_ALL=C.UTF-8
export LC_ALL
n=0

# report NAME STATUS: what the last command said is told where it failed.
report () {
  n=$((n + 1))
  if [ "$2" = 0 ]; then echo "ok $n - $1"; else
    sed 's/^/# /' "$tmp/out"
    echo "not ok $n - $1"
  fi
}

echo 1..22
"$cli" devices --json >"$tmp/out" 2>&1 && grep -q '"name" *: "Host"' "$tmp/out"
report "the plugin has a device" $?

# Few features and steps: the kernels' items run one after the other.
"$cli" phantom --out "$tmp/data" --cases 3 --size 24,24,16 --seed 1 --quiet >"$tmp/out" 2>&1 &&
  "$cli" plan "$tmp/data" --out "$tmp/made.json" --patch 8,8,8 --batch 2 --epochs 1 --quiet >"$tmp/out" 2>&1 &&
  sed -E -e 's/("features" *: *)[0-9]+/\14/' -e 's/("iterations_per_epoch" *: *)[0-9]+/\13/' \
    -e 's/("validation_iterations" *: *)[0-9]+/\11/' "$tmp/made.json" >"$tmp/plan.json"
report "a dataset and a small plan" $?

for backend in cpu cuda; do
  "$cli" train --dataset "$tmp/data" --run "$tmp/$backend" --plan "$tmp/plan.json" --fold all --epochs 2 --seed 3 \
    --backend $backend --precision f32 --quiet >"$tmp/out" 2>&1
  report "train --backend $backend" $?
done

# Epoch, step, losses, Dice: all but the columns of time, which come last.
same_log () {
  awk -F, 'NR == FNR { line[FNR] = $0; next }
  { split (line[FNR], a, ",")
    for (i = 1; i <= 8 && FNR > 1; i++) { d = a[i] - $i; if (d < 0) d = -d; if (d > 1e-4) { print a[i], $i; bad = 1 } } }
  END { exit bad || FNR < 3 }' "$tmp/cpu/log.csv" "$1" >"$tmp/out" 2>&1
}
same_log "$tmp/cuda/log.csv"
report "both logs say the same" $?

for backend in cpu cuda; do
  "$cli" predict --model "$tmp/cuda/best.safetensors" --input "$tmp"/data/imagesTs/*.nii.gz --output "$tmp/$backend.nii" \
    --backend $backend --precision f32 --quiet >"$tmp/out" 2>&1 || break
done
cmp "$tmp/cpu.nii" "$tmp/cuda.nii" >>"$tmp/out" 2>&1
report "both segment the same voxels" $?

# The network fits into 200 kB, the sums of a scan's logits (95 kB) not beside it.
near () {
  HOST_CUDA_MEMORY=200000 "$cli" predict --model "$tmp/cuda/best.safetensors" --input "$tmp"/data/imagesTs/*.nii.gz \
    --output "$tmp/near.nii" --backend cuda --precision f32 "$@" >"$tmp/out" 2>&1
}
near && grep -q 'no room for the sums of the logits (95.* kB)' "$tmp/out" && cmp "$tmp/near.nii" "$tmp/cuda.nii" >>"$tmp/out" 2>&1 &&
  near --quiet && ! grep -q 'no room' "$tmp/out"
report "a card without room for the sums segments the same voxels, and it is said" $?

HOST_CUDA_CARDS=2
export HOST_CUDA_CARDS
"$cli" devices >"$tmp/out" 2>&1 && [ "$(grep -c '^cuda' "$tmp/out")" = 2 ]
report "two cards are listed" $?

"$cli" predict --model "$tmp/cuda/best.safetensors" --input "$tmp"/data/imagesTs/*.nii.gz --output "$tmp/second.nii" \
  --backend cuda --device 1 --precision f32 >"$tmp/out" 2>&1 && grep -q 'device 1' "$tmp/out" &&
  cmp "$tmp/second.nii" "$tmp/cuda.nii" >>"$tmp/out" 2>&1
report "the second one segments the same voxels" $?

"$cli" predict --model "$tmp/cuda/best.safetensors" --input "$tmp"/data/imagesTs/*.nii.gz --output "$tmp/third.nii" \
  --backend cuda --device 2 >"$tmp/out" 2>&1
[ $? = 2 ] && grep -q 'has 2 devices' "$tmp/out"
report "there is no third" $?

settings=
# mpi NAME STATUS TEXT RUN [OPTION ...]: two processes train; STATUS and, once among what they say, TEXT.
mpi () {
  name=$1 status=$2 text=$3 run=$4
  shift 4
  if [ -z "${TESSERA_TEST_MPI_PLUGIN:-}" ] || ! command -v mpirun >/dev/null; then
    n=$((n + 1))
    echo "ok $n - $name # SKIP no MPI plugin or no mpirun"
    return
  fi
  env $settings timeout 60 mpirun --quiet --allow-run-as-root --oversubscribe -np 2 "$cli" train --dataset "$tmp/data" --run "$tmp/$run" \
    --plan "$tmp/plan.json" --fold all --epochs 2 --seed 3 --backend cuda --precision f32 "$@" >"$tmp/out" 2>&1
  got=$?
  echo "status $got" >>"$tmp/out"
  [ $got = "$status" ] && [ "$(grep -c '^tessera-cli: ' "$tmp/out")" = "$status" ] && grep -q "$text" "$tmp/out"
  report "$name" $?
}

mpi "two processes, each with its card, train" 0 "Dice of the last validation" ranks
name="they log the same"
if [ -d "$tmp/ranks" ]; then
  same_log "$tmp/ranks/log.csv"
  report "$name" $?
else
  n=$((n + 1))
  echo "ok $n - $name # SKIP no MPI plugin or no mpirun"
fi

# told "VARIABLE=VALUE ..." and what mpi takes: with these in the environment.
told () {
  settings=$1
  shift
  mpi "$@"
  settings=
}
told "HOST_CUDA_FAILS=bf16 HOST_NCCL_RANK=1" "bf16 is used where all have it" 0 "not every process has fast bf16" f32 \
  --precision auto
told "TESSERA_NCCL=none HOST_CUDA_MEMORY=500000" "each of two cards has room" 0 "Dice" room --recompute off
told "TESSERA_NCCL=none HOST_CUDA_MEMORY=500000" "two processes have half of a card each" 1 "and 250 kB are there" half \
  --recompute off --device 0
told "HOST_CUDA_MEMORY=500000" "each of two cards has room beside NCCL" 0 "Dice" beside --recompute off
told "HOST_CUDA_MEMORY=500000 HOST_NCCL_LEAVES=250000" "what NCCL takes is not there" 1 "and 250 kB are there" taken \
  --recompute off
program=$cli
printf '#!/bin/sh\nb=cuda\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && b=cpu\nexec "%s" "$@" --backend $b\n' "$program" >"$tmp/mixed"
chmod +x "$tmp/mixed"
cli=$tmp/mixed
mpi "a GPU and a processor do not train together" 1 "1 of 2 processes have found a GPU" mixed
cli=$program

# One fails alone while the other waits for it, with captured graphs that use NCCL, or outside of a program.
told "HOST_NCCL_FAILS=graph HOST_NCCL_RANK=1" "a sum that fails in one process ends both" 1 "as the test asked" sum
told "HOST_CUDA_FAILS=query HOST_NCCL_RANK=0" "a step that fails in one process ends both" 1 "as the test asked" step
told "HOST_CUDA_FAILS=download HOST_NCCL_RANK=0" "a view that fails in one process ends both" 1 "as the test asked" view
told "HOST_CUDA_FAILS=copy HOST_NCCL_RANK=0" "a batch that one cannot upload ends both" 1 "copying .* as the test asked" batch
