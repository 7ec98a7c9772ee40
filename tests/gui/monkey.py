"""Random hands on the window: clicks, keys, drags, wheels and dropped files, good and damaged ones, for some minutes.

  run.sh TESSERA CLI monkey.py [--minutes M] [--seed S] [--log FILE] [--fatal]

The same seed does the same. The program should be built with -Db_sanitize=address,undefined. What a sanitizer finds, a
critical warning, or its end are failures: then the last things done are printed, and the status is 1. --fatal ends the
program at the first critical warning (G_DEBUG=fatal-criticals), and shows where it came from. How much memory it holds
is printed every ten seconds; growth in the second half counts as a leak.
"""
import argparse
import gzip
import os
import random
import shutil
import struct
import subprocess
import sys
import time

import dicom
import screen
import xdnd
from window import Failed, Window, hands

# Not ours: what GTK 4.8 itself says when things go fast.
KNOWN = {
    "gdk_surface_get_device_position: assertion 'GDK_IS_SURFACE (surface)' failed":
        "a tooltip was waiting for a window that has closed since (gtktooltip.c)",
    "_gtk_widget_find_at_coords: assertion 'GDK_IS_SURFACE (surface)' failed":
        "the same, on the next line there",
}
HOME = os.environ["TESSERA_HOME"]
KEYS = ["g", "l", "o", "x", "t", "r", "0", "1", "2", "5", "9", "Left", "Right", "Up", "Down", "Page_Up", "Page_Down",
        "Home", "End", "Escape", "Escape", "plus", "minus", "Tab", "shift+Tab", "Return", "space", "F1", "F9",
        "ctrl+F9", "F10", "ctrl+1", "ctrl+2", "ctrl+3", "alt+1", "alt+2", "alt+3", "ctrl+o", "ctrl+l", "ctrl+d",
        "ctrl+r", "ctrl+m", "ctrl+s", "ctrl+shift+s", "ctrl+comma", "ctrl+k", "ctrl+Return", "ctrl+question",
        "Delete", "BackSpace", "ctrl+a", "ctrl+v"]


def cli(*args):
    subprocess.run([os.environ["TESSERA_CLI"], *args], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=300)


def write(name, data):
    path = os.path.join(HOME, "files", name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def material(rng):
    """Files and folders to drop: scans, labels, data sets, a run, and everything that can be wrong with them."""
    dataset = os.path.join(HOME, "phantoms")
    cli("phantom", "--out", dataset, "--cases", "3", "--test", "1", "--size", "40,40,32", "--seed", "9")
    os.mkdir(os.path.join(HOME, "files"))
    scan = os.path.join(dataset, "imagesTr", "phantom_001_0000.nii.gz")
    labels = os.path.join(dataset, "labelsTr", "phantom_001.nii.gz")
    with gzip.open(scan) as file:
        raw = file.read()
    with open(scan, "rb") as file:
        packed = file.read()
    flipped = bytearray(raw)
    for _ in range(40):
        flipped[rng.randrange(348)] = rng.randrange(256)
    huge = bytearray(raw[:352])
    huge[40:56] = struct.pack("<8h", 3, 30000, 30000, 30000, 1, 1, 1, 1)
    flat = bytearray(raw)
    flat[280:328] = bytes(48)  # an affine without extent
    broken = os.path.join(HOME, "broken")
    shutil.copytree(dataset, broken)
    os.truncate(os.path.join(broken, "imagesTr", "phantom_002_0000.nii.gz"), 1000)
    os.remove(os.path.join(broken, "labelsTr", "phantom_003.nii.gz"))
    empty = os.path.join(HOME, "empty")
    os.mkdir(empty)
    study, torn = os.path.join(HOME, "study"), os.path.join(HOME, "torn-study")
    for folder in (study, torn):
        dicom.write_study(folder)
    for k, name in enumerate(sorted(os.listdir(torn))):
        os.truncate(os.path.join(torn, name), 200 + 90 * k)
    good = [scan, scan, labels, os.path.join(dataset, "imagesTs", "phantom_004_0000.nii.gz"),
            os.path.join(dataset, "labelsTs", "phantom_004.nii.gz"), dataset,
            study, study, os.path.join(study, "IM0003"), os.path.join(HOME, "files"),
            write("raw.nii", raw), write("a name with blanks & <signs> %s.nii.gz", packed)]
    bad = [write("cut.nii.gz", packed[:len(packed) // 2]), write("cut.nii", raw[:1000]), write("short.nii", raw[:100]),
           write("nothing.nii", b""), write("nothing.nii.gz", b""), write("text.nii", b"This is no scan.\n" * 40),
           write("flipped.nii", bytes(flipped)), write("huge.nii", bytes(huge)), write("flat.nii", bytes(flat)),
           write("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100)), write("model.safetensors", b"\xff" * 64),
           write("empty.safetensors", struct.pack("<Q", 2) + b"{}"), os.path.join(HOME, "files", "not there.nii.gz"),
           broken, empty, torn, os.path.join(dataset, "dataset.json"), "/dev/null"]
    return good, bad


class Monkey:
    def __init__(self, seed, log):
        self.rng = random.Random(seed)
        self.log = log
        self.width, self.height = screen.grab().width, screen.grab().height
        self.done = []
        self.good, self.bad = material(self.rng)
        self.window = None

    def spot(self):
        """Mostly on the pictures, often in the bars."""
        kind = self.rng.random()
        if kind < 0.55:
            return self.rng.randrange(270, self.width - 330), self.rng.randrange(60, self.height - 40)
        if kind < 0.7:
            return self.rng.randrange(self.width), self.rng.randrange(8, 100)
        return self.rng.randrange(self.width), self.rng.randrange(self.height)

    def choosing(self):
        """Whether a file chooser is open. GTK 4.8 crashes by itself when one closes right after a right click on its
        list (gtkfilechooserwidget.c, file_list_show_popover_in_idle: the idle outlives the widget)."""
        return any(node.name == "GtkFileChooserWidget" for node in self.window.nodes())

    def click(self):
        x, y = self.spot()
        if x > self.width - 130 and y < 50:
            return None  # minimising and closing are not for monkeys
        button, times = self.rng.choice([1, 1, 1, 1, 2, 3]), self.rng.choice([1, 1, 1, 2, 3])
        if button == 3 and self.choosing():
            button = 1
        hands("mousemove", x, y, "click", "--repeat", times, "--delay", 40, button)
        return f"click {button} {times} times at {x},{y}"

    def drag(self):
        (x, y), (a, b), button = self.spot(), self.spot(), self.rng.choice([1, 1, 1, 2, 3])
        modifier = self.rng.choice([None, None, "shift", "ctrl", "alt"])
        if button == 1 and y < 50:
            return None  # without a window manager GDK moves the window itself, off the screen and under the next click
        if button == 3 and self.choosing():
            button = 1
        words = ["keydown", modifier] if modifier else []
        words += ["mousemove", x, y, "mousedown", button]
        for i in range(1, 9):
            words += ["mousemove", x + (a - x) * i // 8, y + (b - y) * i // 8]
        words += ["mouseup", button] + (["keyup", modifier] if modifier else [])
        hands(*words)
        return f"drag {button} {modifier or ''} from {x},{y} to {a},{b}"

    def wheel(self):
        (x, y), button, times = self.spot(), self.rng.choice([4, 5, 4, 5, 6, 7]), self.rng.randrange(1, 12)
        modifier = self.rng.choice([None, None, "shift", "ctrl", "alt"])
        hands(*(["keydown", modifier] if modifier else []), "mousemove", x, y,
              "click", "--repeat", times, "--delay", 5, button, *(["keyup", modifier] if modifier else []))
        return f"wheel {button} {times} times {modifier or ''} at {x},{y}"

    def key(self):
        keys = [self.rng.choice(KEYS) for _ in range(self.rng.randrange(1, 4))]
        hands("key", "--delay", 20, *keys)
        return "keys " + " ".join(keys)

    def files(self):
        some = self.good if self.rng.random() < 0.6 else self.bad
        paths = [self.rng.choice(some)]
        if self.rng.random() < 0.2:
            paths += [self.rng.choice(self.good + self.bad) for _ in range(2)]
        x, y = self.spot()
        taken = xdnd.drop(paths, x, y, 4.0)
        return f"drop {' '.join(paths)} at {x},{y}: {'taken' if taken else 'not taken'}"

    def act(self):
        what = self.rng.choices([self.click, self.drag, self.wheel, self.key, self.files], [30, 12, 18, 30, 10])[0]
        words = what()
        if words:
            self.done.append(words)
            print(f"{len(self.done)} {words}", file=self.log, flush=True)


def complaints(stderr):
    """Critical warnings and errors that are not known."""
    stderr.seek(0)
    return [line for line in stderr.read().decode(errors="replace").splitlines()
            if ("CRITICAL" in line or "runtime error" in line or "AddressSanitizer" in line) and
            not any(known in line for known in KNOWN)]


def run(monkey, window, minutes, stderr):
    """Memory in MB, every ten seconds."""
    monkey.window = window
    begin, shown, memory = time.monotonic(), 0.0, []
    while time.monotonic() - begin < minutes * 60.0:
        monkey.act()
        window.alive()
        wrong = complaints(stderr)
        if wrong:
            raise Failed(wrong[0])
        elapsed = time.monotonic() - begin
        if elapsed - shown >= 10.0:
            shown = elapsed
            memory.append(window.memory() / 1e6)
            print(f"{elapsed:4.0f} s  {len(monkey.done)} things done  {memory[-1]:.0f} MB", flush=True)
    time.sleep(2.0)
    window.alive()
    return memory


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", default=os.path.join(HOME, "monkey.log"))
    parser.add_argument("--fatal", action="store_true")
    options = parser.parse_args()
    with open(options.log, "w", encoding="utf-8") as log, open(os.path.join(HOME, "stderr"), "a+b") as stderr:
        monkey = Monkey(options.seed, log)
        window = Window(stderr=stderr, environment={
            "G_DEBUG": "fatal-criticals" if options.fatal else "",
            # A small quarantine, so that memory held is memory that grows.
            "ASAN_OPTIONS": "detect_leaks=0:handle_sigtrap=1:exitcode=99:quarantine_size_mb=16",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})
        try:
            memory = run(monkey, window, options.minutes, stderr)
        except Failed as failed:
            print(f"seed {options.seed}: {failed}; done before:")
            for words in monkey.done[-25:]:
                print(f"  {words}")
            memory = None
        finally:
            window.close()
            stderr.seek(0)
            said = stderr.read().decode(errors="replace")
        print("\n".join(line for line in said.splitlines() if "AT-SPI" not in line)[-20000:])
        if memory is None:
            return 1
        half = len(memory) // 2
        if half >= 6:
            early, late = min(memory[half // 2:half]), min(memory[-(half // 2):])
            print(f"memory: at least {early:.0f} MB in the second quarter, {late:.0f} MB in the last")
            if late > early * 1.3 + 50.0:
                print("it grows")
                return 1
        print(f"seed {options.seed}: {len(monkey.done)} things done, nothing wrong")
        return 0


sys.exit(main())
