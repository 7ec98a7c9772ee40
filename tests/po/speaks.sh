#!/bin/sh
# tessera-cli speaks the languages it has: speaks.sh TESSERA_CLI FOLDER_OF_CATALOGUES
set -u
cli=$1 n=0
LC_ALL=C.UTF-8 TESSERA_LOCALE_DIR=$2
export LC_ALL TESSERA_LOCALE_DIR

# said NAME LANGUAGE PATTERN ARGS...: what the command says on either stream has a line like the pattern
said () {
  name=$1 language=$2 pattern=$3
  shift 3
  out=$(LANGUAGE=$language "$cli" "$@" 2>&1)
  n=$((n + 1))
  if printf '%s\n' "$out" | grep -qE -e "$pattern"; then
    echo "ok $n - $name"
  else
    printf '%s\n' "$out" | sed 's/^/# /'
    echo "not ok $n - $name"
  fi
}
said "English without a catalogue" en '^Usage: tessera-cli COMMAND' --help
said "Korean" ko '^사용법: tessera-cli' --help
said "Korean in the options" ko '^  --json  *결과를' plan --help
# The msgid of a 64-bit number is %<PRId64> in the catalogue and what the machine calls it in the program.
said "a 64-bit number" en '--batch 9999999999: give a whole number from 1 to 4096' plan --batch 9999999999 --out plan.json .
said "a 64-bit number in Korean" ko '--batch 9999999999: 1에서 4096까지' plan --batch 9999999999 --out plan.json .
# Three English words come in another order in Korean.
said "parts of a sentence" ko ': 열 수 없습니다: .*확인하십시오$' info "$2/nothing.nii"
echo "1..$n"
