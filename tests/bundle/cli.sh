#!/bin/sh
# The command line on a GPU beside itself on the processor: cli.sh TESSERA_CLI FOLDER [cuda]
#   a small run with --backend cuda logs losses near those of --backend cpu in float32, in bfloat16 it learns as well, and
#   its model segments the same voxels. Without a last word only the processor's part. FOLDER: what is made, kept.
set -u
# Threads that wait do not take the processor from others, where it is shared.
export OMP_WAIT_POLICY=passive
cli=$1 folder=$2 gpu=${3:-}
rm -rf "$folder"
mkdir -p "$folder" || exit 1
out=$folder/out.txt
n=0

# report NAME STATUS: what the last command said is told where it failed.
report () {
  n=$((n + 1))
  if [ "$2" = 0 ]; then echo "ok $n - $1"; else
    sed 's/^/# /' "$out"
    echo "not ok $n - $1"
  fi
}

# on_gpu NAME COMMAND...: skipped without one
on_gpu () {
  name=$1
  shift
  if [ "$gpu" != cuda ]; then
    n=$((n + 1))
    echo "ok $n - $name # SKIP there is no GPU"
    return
  fi
  "$@" >"$out" 2>&1
  report "$name" $?
}

train () {
  "$cli" train --dataset "$folder/data" --run "$folder/$1" --plan "$folder/plan.json" --fold all --epochs 3 --seed 3 \
    --backend "$2" --precision "$3" --quiet
}

# train_on_card FOLDER PRECISION: ... and no step falls back to op by op, no convolution to our own kernel, of which only
# a debug message tells
train_on_card () {
  G_MESSAGES_DEBUG=tessera train "$1" cuda "$2" || return 1
  if grep -qE 'runs op by op|left to our own kernel' "$out"; then
    echo "it is slower than it should be: see above"
    return 1
  fi
}

predict () {
  "$cli" predict --model "$folder/$1/best.safetensors" --input "$folder/data/imagesTs" --output "$folder/$2" \
    --backend "$3" --precision "$4" --quiet
}

# close_logs A B SHARE: epoch, step, losses, mean Dice; no further apart than so much of the loss, the Dice than 0.1
close_logs () {
  awk -F, -v share="$3" 'NR == FNR { line[FNR] = $0; next }
    FNR == 1 { for (i = 1; i <= NF; i++) if ($i == "mean_dice") dice = i }
    FNR > 1 { n = split (line[FNR], a, ",")
      bad = bad || n != NF || !dice
      for (i = 1; i <= NF; i++) {
        if (i > 4 && i != dice) continue
        d = a[i] - $i; if (d < 0) d = -d
        size = $i < 0 ? -$i : $i; if (size < 0.5) size = 0.5
        if (i < 3 ? d != 0 : i < 5 ? d > share * size : d > 0.1) { print "epoch " $1 ", column " i ": " a[i] " and " $i; bad = 1 }
      } }
    END { exit bad || FNR != 4 }' "$folder/$1/log.csv" "$folder/$2/log.csv"
}

# same_voxels A B LEAST: the Dice over all labels of two folders of segmentations
same_voxels () {
  "$cli" evaluate --reference "$folder/$1" --prediction "$folder/$2" --json >"$folder/$2.json" || return 1
  awk -v least="$3" '/"foreground_mean"/ { inside = 1 } inside && /"dice"/ { gsub (/[^0-9.e+-]/, ""); dice = $0; inside = 0 }
    END { print "Dice " dice; exit !(dice >= least) }' "$folder/$2.json"
}

echo 1..9
"$cli" phantom --out "$folder/data" --cases 4 --test 1 --size 48,48,40 --seed 1 --quiet >"$out" 2>&1 &&
  "$cli" plan "$folder/data" --out "$folder/made.json" --patch 32,32,32 --batch 2 --epochs 3 --quiet >"$out" 2>&1 &&
  sed -E -e 's/("features" *: *)[0-9]+/\18/' -e 's/("iterations_per_epoch" *: *)[0-9]+/\16/' -e 's/("validation_iterations" *: *)[0-9]+/\11/' \
    "$folder/made.json" >"$folder/plan.json"
report "a dataset and a plan" $?
train cpu cpu f32 >"$out" 2>&1
report "train --backend cpu" $?
on_gpu "train --backend cuda --precision f32" train_on_card cuda f32
on_gpu "train --backend cuda --precision auto" train_on_card cuda-auto auto
on_gpu "float32 logs what the processor logs" close_logs cpu cuda 0.02
on_gpu "bfloat16 learns as well" close_logs cpu cuda-auto 0.1
predict cpu by-cpu cpu f32 >"$out" 2>&1
report "predict --backend cpu" $?
on_gpu "predict --backend cuda" predict cpu by-cuda cuda f32
on_gpu "both segment the same voxels" same_voxels by-cpu by-cuda 0.99
