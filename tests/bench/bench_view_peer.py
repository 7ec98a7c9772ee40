#!/usr/bin/python3
"""The window beside mrview (Debian package mrtrix3), both on an Xvfb of 1280x800 that only this script sees.

Both are watched from outside and in the same way: Xvfb keeps its screen in a file (-fbdir), which is looked at every
millisecond. A picture is there when a good part of the middle of the window is grey and neither black nor white; it is
whole when the screen has changed for the last time; a frame is a change of the screen. Hands are xdotool's. Times run
from the moment the command is given: to start the program with the file, or (mrview has no such thing) `tessera FILE`
while a window of Tessera is open. Prints complete JSON lines, which run.py passes on. Medians.
"""
import json
import mmap
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib

WIDTH, HEIGHT = 1280, 800
PROGRAM = os.environ.get("BENCH_PROGRAM", "")
TESSERA = os.path.join(os.path.dirname(PROGRAM), "..", "..", "src", "app", "tessera")
SECONDS = 4.0


def leave(sentence):
    print(f"bench_view_peer.py: {sentence}", file=sys.stderr)
    sys.exit(77)


class Screen:
    """An X server of our own and its pixels."""

    def __init__(self, folder):
        self.folder = folder
        read, write = os.pipe()
        self.server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", f"{WIDTH}x{HEIGHT}x24",
                                        "-fbdir", folder, "-nolisten", "tcp"], pass_fds=[write],
                                       stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as pipe:
            self.display = ":" + pipe.readline().strip()
        with open(os.path.join(folder, "Xvfb_screen0"), "rb") as file:
            self.pixels = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        header = struct.unpack(">25I", self.pixels[:100])
        self.line = header[12]
        self.first = header[0] + 12 * header[19]

    def row(self, y, x0, x1):
        at = self.first + y * self.line
        return self.pixels[at + 4 * x0:at + 4 * x1]

    def shows_picture(self):
        """A twelfth of the middle is some grey of a picture; side bars and the black round a slice are not."""
        seen = total = 0
        for y in range(110, HEIGHT - 70, 12):
            row = self.row(y, 300, 940)
            for at in range(0, len(row), 48):
                blue, green, red = row[at], row[at + 1], row[at + 2]
                total += 1
                seen += red == green == blue and 60 < red < 245
        return 12 * seen > total

    def digest(self):
        value = 0
        for y in range(100, HEIGHT - 60, 9):
            value = zlib.crc32(self.row(y, 300, 1000), value)
        return value

    def close(self):
        self.server.terminate()
        self.server.wait()


class Session:
    """A program on the screen, with folders of its own and, where it needs one, a bus."""

    def __init__(self, screen, command, bus=False):
        self.home = tempfile.mkdtemp(dir=screen.folder)
        self.bus = None
        address = "disabled:"
        if bus:
            self.bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--print-address"], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            address = self.bus.stdout.readline().strip()
        self.environment = {**os.environ, "DISPLAY": screen.display, "HOME": self.home, "XDG_RUNTIME_DIR": self.home,
                       "XDG_CONFIG_HOME": self.home, "XDG_DATA_HOME": self.home, "XDG_CACHE_HOME": self.home,
                       "GDK_BACKEND": "x11", "QT_QPA_PLATFORM": "xcb", "LIBGL_ALWAYS_SOFTWARE": "1",
                       "GSETTINGS_BACKEND": "memory", "GTK_A11Y": "none", "NO_AT_BRIDGE": "1",
                       "DBUS_SESSION_BUS_ADDRESS": address}
        self.start = time.monotonic()
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)

    def wait_for(self, what, seconds=60.0):
        while time.monotonic() < self.start + seconds:
            if what():
                return time.monotonic() - self.start
            if self.process.poll() is not None:
                break
            time.sleep(0.001)
        return None

    def command(self, command):
        """Another one to the program that runs; times run from now."""
        self.start = time.monotonic()
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def close(self):
        if self.bus:
            self.bus.terminate()
            self.bus.wait()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def blank(screen):
    """Waits until the last program's window is gone."""
    end = time.monotonic() + 10.0
    while screen.shows_picture() and time.monotonic() < end:
        time.sleep(0.01)


def picture_times(screen, session):
    """Seconds to the first picture and to the whole one, or None."""
    first = session.wait_for(screen.shows_picture)
    if first is None:
        return None
    last, whole = screen.digest(), first
    while time.monotonic() - session.start < whole + 1.5:
        now = screen.digest()
        if now != last:
            last, whole = now, time.monotonic() - session.start
        time.sleep(0.001)
    return first, whole


def medians(times):
    return tuple(map(statistics.median, zip(*times))) if times and None not in times else (None, None)


def start_times(screen, command, repeats):
    """From the command to the first and the whole picture: medians."""
    times = []
    for _ in range(repeats):
        session = Session(screen, command)
        times.append(picture_times(screen, session))
        session.close()
        blank(screen)
    return medians(times)


def open_times(screen, program, scan, repeats):
    """The same for `tessera FILE` while a window is open."""
    times = []
    for _ in range(repeats):
        session = Session(screen, program, bus=True)
        last, since = None, time.monotonic()
        while time.monotonic() < since + 1.0:  # until it has stood still for a second
            now = screen.digest()
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.01)
        opener = session.command(program + [scan])
        times.append(picture_times(screen, session))
        opener.wait()
        session.close()
        blank(screen)
    return medians(times)


def moves(kind):
    """What the hands do, for longer than we look: 125 events a second."""
    steps = int((SECONDS + 1.0) * 125)
    if kind == "scroll":
        return "".join(f"mousedown {4 + i // 40 % 2} mouseup {4 + i // 40 % 2} sleep 0.008 " for i in range(steps))
    path = "".join(f"mousemove {300 + abs(i % 200 - 100)} {380 + i % 50} sleep 0.008 " for i in range(steps))
    return f"mousedown {kind} {path}mouseup {kind} "


def frames_a_second(screen, command, kind):
    """Pictures seen a second while the hands are busy in the first pane."""
    session = Session(screen, command)
    if session.wait_for(screen.shows_picture) is None:
        session.close()
        return None
    time.sleep(1.0)
    script = f"mousemove 310 390 sleep 0.3 {moves(kind)}"
    hands = subprocess.Popen(["xdotool", "-"], env={**os.environ, "DISPLAY": screen.display}, stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    hands.stdin.write(script.replace(" sleep", "\nsleep").replace(" mouse", "\nmouse") + "\n")
    hands.stdin.close()
    time.sleep(0.8)
    frames, last, start = 0, screen.digest(), time.monotonic()
    while time.monotonic() < start + SECONDS:
        now = screen.digest()
        if now != last:
            frames += 1
            last = now
        time.sleep(0.001)
    taken = time.monotonic() - start
    hands.kill()
    hands.wait()
    session.close()
    blank(screen)
    return frames / taken


def report(case, unit, ours, peer):
    ratio = None
    if ours and peer:
        ratio = round(ours / peer if "/s" in unit else peer / ours, 4)
    print(json.dumps({"bench": "view", "case": case, "unit": unit, "ours": ours and round(ours, 4),
                      "peer": "mrview" if peer else None, "peer_value": peer and round(peer, 4), "ratio": ratio}),
          flush=True)


def main():
    for tool in "Xvfb", "xdotool":
        if not shutil.which(tool):
            leave(f"{tool} is not installed (./dev test installs it)")
    if not os.access(TESSERA, os.X_OK):
        leave("the window is not built")
    folder = tempfile.mkdtemp(prefix="bench-view-")
    screen = None
    try:
        subprocess.run([PROGRAM, "--make", folder], check=True)
        head, scan = os.path.join(folder, "head.nii"), os.path.join(folder, "ct.nii.gz")
        screen = Screen(folder)
        tessera = [TESSERA]
        mrview = ["mrview"]
        large = ["-size", f"{WIDTH},{HEIGHT - 46}", "-position", "0,0"]  # without a window manager; 46: its tool bar
        if not shutil.which("mrview"):
            print("bench_view_peer.py: mrview is not installed (package mrtrix3)", file=sys.stderr)
            mrview = None

        def both(case, unit, measure, ours, theirs):
            report(case, unit, measure(tessera + ours), measure(mrview + theirs + large) if mrview else None)

        for name, path, repeats in ("head", head, 5), ("512x512x600-nii-gz", scan, 3):
            ours = start_times(screen, tessera + [path], repeats)
            theirs = start_times(screen, mrview + [path] + large, repeats) if mrview else (None, None)
            report(f"start-to-first-picture-{name}", "s", ours[0], theirs[0])
            report(f"start-to-whole-picture-{name}", "s", ours[1], theirs[1])
        if shutil.which("dbus-daemon"):
            first, whole = open_times(screen, tessera, scan, 3)
            report("open-to-first-picture-512x512x600-nii-gz", "s", first, None)
            report("open-to-whole-picture-512x512x600-nii-gz", "s", whole, None)
        # mrview's hands: right button for brightness and contrast, wheel for slices; mode 2 has three panes.
        both("window-drag-three-panes", "frames/s",
             lambda command: frames_a_second(screen, command, "3" if command[0] == "mrview" else "1"),
             [head], [head, "-mode", "2"])
        both("scroll-three-panes", "frames/s", lambda command: frames_a_second(screen, command, "scroll"),
             [head], [head, "-mode", "2"])
    finally:
        if screen:
            screen.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
