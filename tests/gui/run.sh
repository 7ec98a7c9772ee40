#!/bin/sh
# Runs a Python script on a display, session bus, accessibility bus and home of its own:
#   run.sh TESSERA CLI SCRIPT [ARGS...]
# Where that cannot be it says what is missing, as a skipped test (TAP). TESSERA_SCREEN: 1280x800 unless told.
set -eu
tessera=$1 cli=$2 script=$3
shift 3
skip () {
  printf 'ok 1 window # SKIP %s\n1..1\n' "$1"
  exit 0
}
missing=
for tool in Xvfb xdotool dbus-run-session; do
  command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -x /usr/libexec/at-spi-bus-launcher ] || missing="$missing at-spi2-core"
/usr/bin/python3 -c 'from gi.repository import Gio' 2>/dev/null || missing="$missing python3-gi"
[ -z "$missing" ] || skip "not installed:$missing"

home=$(mktemp -d)
server=
clean () {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$home"
}
trap clean EXIT
trap 'exit 1' INT TERM
mkdir -m 700 "$home/runtime"

# A free display number is the server's to choose.
Xvfb -displayfd 3 -screen 0 "${TESSERA_SCREEN:-1280x800}x24" -fbdir "$home" -nocursor -nolisten tcp -noreset \
  >/dev/null 2>&1 3>"$home/display" &
server=$!
tries=0
until [ -s "$home/display" ]; do
  tries=$((tries + 1))
  if [ $tries -gt 300 ] || ! kill -0 "$server" 2>/dev/null; then
    skip "Xvfb does not start"
  fi
  sleep 0.1
done

build=$(dirname "$tessera")/../..
DISPLAY=:$(cat "$home/display")
export DISPLAY HOME="$home" XDG_RUNTIME_DIR="$home/runtime" XDG_CONFIG_HOME="$home/config" \
  XDG_DATA_HOME="$home/data" XDG_CACHE_HOME="$home/cache" XDG_STATE_HOME="$home/state" \
  GSETTINGS_SCHEMA_DIR="$build/data" TESSERA_LOCALE_DIR="$build/po" GSETTINGS_BACKEND=keyfile \
  GDK_BACKEND=x11 LIBGL_ALWAYS_SOFTWARE=1 NO_AT_BRIDGE=0 TESSERA_BACKEND_DIR="$build/src/cuda" \
  TESSERA_CODEC="$build/src/codec/tessera-codec" \
  PYTHONDONTWRITEBYTECODE=1 TESSERA_PROGRAM="$tessera" \
  TESSERA_CLI="$cli" TESSERA_HOME="$home" TESSERA_FRAME_BUFFER="$home/Xvfb_screen0"
unset WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS AT_SPI_BUS_ADDRESS GTK_A11Y
[ -n "${LANG:-}" ] || export LANG=C.UTF-8
status=0
# Only the script writes to standard output: the services of the bus are talkative, and a test's output is read (TAP).
exec 4>&1
# shellcheck disable=SC2016
dbus-run-session -- sh -c 'exec /usr/bin/python3 "$@" >&4' sh "$script" "$@" >&2 || status=$?
exit $status
