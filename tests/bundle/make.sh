#!/usr/bin/env bash
# Packs a release build for a machine with a GPU.
#   make.sh targets BUILD         what of it is packed, one a line (for ninja)
#   make.sh pack BUILD ARCHIVE    ARCHIVE: a .tar.xz, at most 40 MB
# In it: programs, plugins, tests with their data, and in lib/ the libraries they need and such a machine may lack. libc
# and libstdc++ are the machine's: how new a glibc that asks for is in its file glibc. So are CUDA, cuDNN, NCCL and MPI. The
# programs find lib/ by $ORIGIN (the build was configured so), however they are started.
set -euo pipefail
source=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)

most_bytes=40000000
newest_glibc=2.35 newest_glibcxx=3.4.30 # Ubuntu 22.04
programs=(src/cli/tessera-cli tests/cuda/test-cuda-gpu tests/cuda/test-cuda-plans tests/cuda/test-cuda-cache
  tests/cpu/test-cpu-ops tests/cpu/test-cpu-parity tests/bench/bench-gpu-step tests/bench/bench-loader tests/bench/bench-predict)
# Of these what the build has.
optional=(src/cuda/libtessera-cuda.so src/mpi/libtessera-mpi.so tests/cuda/test-cuda-gpu-ranks)
# Not linked but opened when it is first used.
opened=(libdnnl.so.2)
# What the machine brings.
theirs='^(linux-vdso|ld-linux.*|lib(c|m|mvec|pthread|dl|rt|resolv|util|nsl|anl|stdc\+\+|gcc_s|mpi|open-rte|open-pal|cuda|cudnn|nccl))\.so'

fail () { printf 'bundle: %s\n' "$*" >&2; exit 1; }

targets () {
  local target
  printf '%s\n' "${programs[@]}"
  for target in "${optional[@]}"; do
    if grep -q "^build $target:" "$1/build.ninja"; then echo "$target"; fi
  done
}

# libraries_of FILE...: paths of everything ours that they and their libraries need
libraries_of () {
  local file
  for file; do ldd "$file"; done | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u | { grep -vE "$theirs" || true; } | cut -d' ' -f2
}

# newest PREFIX FILE...: the newest version of a library's symbols that they ask for
newest () {
  local prefix=$1
  shift
  readelf -V "$@" 2>/dev/null | grep -oE "\\b${prefix}_[0-9.]+" | sed "s/^${prefix}_//" | sort -uV | tail -n 1
}

# not_after A B: version A is B or older
not_after () { [ "$(printf '%s\n' "$1" "$2" | sort -V | tail -n 1)" = "$2" ]; }

check () {
  local root=$1 file missing files=("$1"/bin/* "$1"/backends/* "$1"/lib/*)
  glibc=$(newest GLIBC "${files[@]}")
  not_after "$glibc" "$newest_glibc" || fail "asks for glibc $glibc, and $newest_glibc is the newest it may ask for"
  not_after "$(newest GLIBCXX "${files[@]}")" "$newest_glibcxx" || fail "asks for a libstdc++ after $newest_glibcxx"
  for file in "$root"/bin/*; do
    missing=$(ldd "$file" | awk '$2 == "=>" { print $1, $3 }' | grep -vE "$theirs" | grep -v " $root/" || true)
    [ -z "$missing" ] || fail "$(basename "$file") takes from outside the archive: $missing"
  done
}

# Of the libraries that are not ours.
licences () {
  local path package
  for path; do
    package=$(dpkg-query -S "$path" 2>/dev/null || dpkg-query -S "/usr$path" 2>/dev/null || true)
    package=${package%%:*}
    if [ -f "/usr/share/doc/$package/copyright" ]; then cp "/usr/share/doc/$package/copyright" "$root/licences/$package"; fi
  done
}

pack () {
  local build=$1 archive=$2 target path bytes libraries
  stage=$(mktemp -d)
  trap 'rm -rf "$stage"' EXIT
  root=$stage/$(basename "$archive" .tar.xz)
  mkdir -p "$root"/{bin,lib,backends,licences,tests/bench,tests/reference}
  for target in $(targets "$build"); do
    case "$target" in *.so) cp "$build/$target" "$root/backends" ;; *) cp "$build/$target" "$root/bin" ;; esac
  done
  strip --strip-unneeded "$root"/bin/* "$root"/backends/*
  libraries=$(mktemp -p "$stage")
  # Not those of the MPI plugin, which is opened under mpirun only: MPI is the machine's.
  libraries_of "$root"/bin/* "$root/backends/libtessera-cuda.so" >"$libraries"
  for target in "${opened[@]}"; do
    path=$(ldconfig -p | awk -v name="$target" '$1 == name && !n++ { print $NF }')
    [ -n "$path" ] || fail "$target is not installed"
    echo "$path" >>"$libraries"
    libraries_of "$path" >>"$libraries"
  done
  sort -u "$libraries" | while IFS= read -r path; do
    cp -L "$path" "$root/lib/"
    licences "$(realpath "$path")"
  done
  chmod 644 "$root"/lib/*
  cp "$source"/tests/reference/*.{json,safetensors} "$root/tests/reference"
  cp "$source"/tests/bench/{run,torch_unet,bench_gpu_step_peer,bench_loader_peer}.py "$root/tests/bench"
  cp "$source"/tests/bundle/{gpu,cli}.sh "$source/LICENSE" "$root"
  check "$root"
  echo "$glibc" >"$root/glibc"
  tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner -c "$(basename "$root")" | xz -T0 -6 >"$archive.part"
  bytes=$(stat -c %s "$archive.part")
  [ "$bytes" -le "$most_bytes" ] || fail "$archive would be $bytes bytes, and $most_bytes is the most"
  mv "$archive.part" "$archive"
  printf '%s: %s bytes, glibc %s or later\n' "$archive" "$bytes" "$glibc"
}

case "${1:-}" in
  targets) targets "$2" ;;
  pack) pack "$2" "$3" ;;
  *) fail "targets BUILD, or pack BUILD ARCHIVE" ;;
esac
