#!/usr/bin/python3
"""The main loop of the window while training takes all cores, on an Xvfb of 1280x800 that only this script sees.

A timer in the main loop (bench-ui-stall.c) tells how long it was away while the wheel is turned 30 times a second over
the pictures for a minute: in View over the three panes, in Train over the heads. The peer is the same window scrolled
in the same way without a training (20 s). Then what the live view costs: seconds for 300 iterations with the Train page
before the eyes and with no snapshots and no window, taken in turns (A B B A) so that a drift of the machine counts on
both sides. Prints complete JSON lines, which run.py passes on.
"""
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = os.environ.get("BENCH_PROGRAM", "")
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
ITERATIONS = 150  # twice


def leave(sentence):
    print(f"bench_ui_stall_peer.py: {sentence}", file=sys.stderr)
    sys.exit(77)


class Wheel(threading.Thread):
    """Turns the wheel at a place of the screen, 30 notches a second: twenty one way, twenty back."""

    def __init__(self, name, x, y):
        super().__init__(daemon=True)
        self.x11, self.test = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        self.x11.XOpenDisplay.restype = ctypes.c_void_p
        self.display = ctypes.c_void_p(self.x11.XOpenDisplay(name.encode()))
        self.place, self.stopped, self.notches = (x, y), threading.Event(), 0

    def run(self):
        zero = ctypes.c_ulong(0)
        self.test.XTestFakeMotionEvent(self.display, -1, *self.place, zero)
        due = time.monotonic()
        while not self.stopped.wait(max(due - time.monotonic(), 0.0)):
            button = 4 + self.notches // 20 % 2
            self.test.XTestFakeButtonEvent(self.display, button, 1, zero)
            self.test.XTestFakeButtonEvent(self.display, button, 0, zero)
            self.x11.XFlush(self.display)
            self.notches += 1
            due += 1.0 / 30.0

    def stop(self):
        self.stopped.set()
        self.join()
        self.x11.XCloseDisplay(self.display)


class Display:
    def __init__(self, folder):
        read, write = os.pipe()
        self.server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24",
                                        "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as pipe:
            self.name = ":" + pipe.readline().strip()
        self.environment = {**os.environ, "DISPLAY": self.name, "HOME": folder, "XDG_RUNTIME_DIR": folder,
                            "XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder, "XDG_CACHE_HOME": folder,
                            "GDK_BACKEND": "x11", "LIBGL_ALWAYS_SOFTWARE": "1", "GSETTINGS_BACKEND": "memory",
                            "GTK_A11Y": "none", "DBUS_SESSION_BUS_ADDRESS": "disabled:"}

    def close(self):
        self.server.terminate()
        self.server.wait()


def stall(display, folder, mode, seconds):
    """What bench-ui-stall says after `seconds` of scrolling."""
    program = subprocess.Popen([PROGRAM, "--stall", folder, mode, str(seconds)], env=display.environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wheel = None
    answer = None
    for line in program.stdout:
        if line.startswith("ready"):
            wheel = Wheel(display.name, *((600, 250) if mode == "train" else (435, 410)))
            wheel.start()
        elif line.startswith("{"):
            answer = json.loads(line)
            break
    if wheel:
        wheel.stop()
    try:
        program.wait(60)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
    return answer


def cost(display, folder, kind, number):
    run = os.path.join(folder, f"run-{kind}-{number}")
    done = subprocess.run([PROGRAM, "--cost", folder, kind, run, str(ITERATIONS)], env=display.environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    shutil.rmtree(run, ignore_errors=True)
    return json.loads(done.stdout)


def report(case, unit, ours, peer, value, **more):
    ratio = None
    if ours and value:
        ratio = round(ours / value if "/s" in unit else value / ours, 4)
    print(json.dumps({"bench": "ui-stall", "case": case, "unit": unit, "ours": ours, "peer": peer,
                      "peer_value": value, "ratio": ratio, **more}), flush=True)


def main():
    if not shutil.which("Xvfb"):
        leave("Xvfb is not installed (./dev test installs it)")
    if not os.access(PROGRAM, os.X_OK):
        leave("the window is not built")
    folder = tempfile.mkdtemp(prefix="bench-ui-stall-")
    display = None
    try:
        subprocess.run([PROGRAM, "--make", folder], check=True)
        display = Display(folder)
        idle = stall(display, folder, "idle", min(SECONDS, 20.0))
        for mode in "view", "train":
            busy = stall(display, folder, mode, SECONDS)
            if not busy:
                leave("the window ended early")
            peer = "without training" if idle else None
            for key in "p50", "p99", "longest":
                report(f"main-loop-gap-{mode}-{key}", "ms", busy[key], peer, idle and idle[key],
                       iterations=busy["iterations"], cores=busy["cores"])
            report(f"frames-{mode}", "frames/s", busy["frames"], peer, idle and idle["frames"])
        sums = {kind: {"wall": 0.0, "cpu": 0.0, "main": 0.0} for kind in ("live", "plain")}
        for number, kind in enumerate(("live", "plain", "plain", "live")):
            for clock, value in cost(display, folder, kind, number).items():
                sums[kind][clock] += value
        for clock in "wall", "cpu":  # of all threads; on a machine that others use too, the fairer one
            report(f"live-view-300-iterations-{clock}", "s", round(sums["live"][clock], 3), "no live view",
                   round(sums["plain"][clock], 3), main_thread=round(sums["live"]["main"], 3))
    finally:
        if display:
            display.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
