"""The frame, as a test (TAP): what cannot be opened is said with a remedy and nothing ends; dialogs open and close;
commands are found by name; what the user chose is remembered; what would be lost is asked about, and a training stops
with a checkpoint.

Run by run.sh."""
import glob
import gzip
import os
import re
import shutil
import subprocess
import sys

import screen
from steps import LONG, check, cli, run, step
from window import Window, hands, settled, wait_for

HOME = os.environ["TESSERA_HOME"]


class Frame:
    """What the steps share."""

    def __init__(self):
        self.dataset = os.path.join(HOME, "phantoms")
        cli("phantom", "--out", self.dataset, "--cases", "3", "--test", "1", "--size", "40,40,32", "--seed", "3", "--quiet")
        self.scan = glob.glob(f"{self.dataset}/imagesTs/*_0000.nii.gz")[0]
        plan, run = os.path.join(HOME, "plan.json"), os.path.join(HOME, "small-run")
        cli("plan", self.dataset, "--out", plan, "--patch", "16,16,16", "--epochs", "1", "--quiet")
        with open(plan, encoding="utf-8") as file:
            text = re.sub(r'("(?:validation_iterations|iterations_per_epoch)": *)\d+', r"\1 2", file.read())
        with open(plan, "w", encoding="utf-8") as file:
            file.write(text)
        cli("train", "--dataset", self.dataset, "--run", run, "--plan", plan, "--quiet")
        self.model = os.path.join(run, "best.safetensors")
        self.log = open(os.path.join(HOME, "stderr"), "w+b")  # pylint: disable=consider-using-with
        self.window = None

    def start(self, *args):
        self.window = Window(*args, stderr=self.log, environment={"G_DEBUG": "fatal-criticals"})

    def seen(self, role, name, seconds=30.0):
        """One that has a size: those on hidden pages have none."""
        def look():
            return next((n for n in self.window.all(role, name) if n.box()[2] > 0), None)
        return wait_for(look, f"{role} \"{name if isinstance(name, str) else '...'}\" to be seen", seconds)

    def ended(self, seconds=60.0):
        wait_for(lambda: self.window.process.poll() is not None, "the program to end", seconds)
        status = self.window.process.returncode
        check(status == 0, f"the program ended with status {status}")

    def settings(self):
        try:
            with open(f"{HOME}/config/glib-2.0/settings/keyfile", encoding="utf-8") as file:
                return dict(line.strip().split("=", 1) for line in file if "=" in line)
        except FileNotFoundError:
            return {}

    def remembers(self, key, value):
        wait_for(lambda: self.settings().get(key) == value, lambda: f"{key}={value} to be kept; kept is {self.settings()}")


# --- what cannot be opened ---


@step
def says_what_cannot_be_opened(f):
    f.start()
    f.page = f.seen("push button", "Open a Scan…")
    settled()
    f.rest = f.page.box()[1]
    with open(f.scan, "rb") as file:
        whole = file.read()
    cases = {
        "text.nii": (b"this is no scan\n" * 50, "not a NIfTI file", "Open Another…"),
        "cut.nii.gz": (whole[:len(whole) // 2], "incomplete", "Open Another…"),
        "empty.nii": (b"", "not a NIfTI file", "Open Another…"),
        "noise.nii.gz": (gzip.compress(b"\xff" * 4000), "not a NIfTI file", "Open Another…"),
        "other.txt": (b"x", "no file format with this ending", "Open Another…"),
        "junk.safetensors": (b"\x00" * 64, "safetensors", "Choose Model…"),
        "junk.pth": (b"\x00" * 64, "no file of PyTorch", "Choose Model…"),
    }
    for name, (content, words, button) in cases.items():
        path = os.path.join(HOME, name)
        with open(path, "wb") as file:
            file.write(content)
        f.window.send(path)
        told(f, name, words, button)
    f.window.send(os.path.join(HOME, "nowhere.nii"))
    told(f, "nowhere.nii", "no such file", "Open Another…")
    bare = os.path.join(HOME, "bare")
    os.makedirs(bare)
    f.window.send(bare)
    told(f, bare, "neither a dataset", "Open a Dataset Folder…")
    f.window.send("--label", f.scan)
    told(f, os.path.basename(f.scan), "none is open", "Open a Scan…")


def told(f, name, words, button):
    """One sentence that names the file, and the remedy; the cross puts it away."""
    sentence = f.seen("label", lambda text: name in text and words in text).name
    check("\n" not in sentence and sentence.count(": ") >= 1, f"not one sentence: {sentence}")
    f.seen("push button", button)
    wait_for(lambda: f.page.box()[1] > f.rest, "the bar to come")
    f.seen("push button", "Close this message").press()
    wait_for(lambda: f.page.box()[1] == f.rest, "the bar to go")  # the page has its place again


@step
def opens_a_scan_after_all_that(f):
    f.window.send(f.scan)
    f.seen("label", os.path.basename(f.scan)[:-len(".nii.gz")])
    f.seen("image", "Canvas")


# --- the frame ---


@step
def finds_commands_by_name(f):
    hands("key", "ctrl+k")
    f.seen("list", "Commands")
    before = settled()
    hands("type", "train")
    wait_for(lambda: screen.grab() != before, "the list to become short")
    settled()
    hands("key", "Return")
    f.seen("label", "Choose a dataset folder")
    hands("key", "ctrl+1")
    f.seen("image", "Canvas")


@step
def opens_and_closes_every_dialog(f):
    for key, name in (("F1", "Open labels over the scan"), ("ctrl+comma", "Mouse on pictures"), ("ctrl+o", "Open a Scan"),
                      ("ctrl+d", "Open a Dataset Folder"), ("ctrl+m", "Choose a Model")):
        hands("key", key)
        wait_for(lambda: len(windows()) == 2, f"a window for {key}")
        f.window.find(None, name)
        settled()
        hands("key", "Escape")
        wait_for(lambda: len(windows()) == 1, f"the window for {key} to close")


@step
def folds_and_remembers_the_side_bar(f):
    hands("mousemove", 600, 400, "click", 1)
    f.seen("label", "Layers")
    hands("key", "F9")
    wait_for(lambda: f.window.find("label", "Layers").box()[0] < 0 or f.window.find("label", "Layers").box()[2] == 0,
             "the side bar to fold")
    f.remembers("show-sidebar", "false")
    hands("key", "F9")
    f.remembers("show-sidebar", "true")


@step
def remembers_preferences(f):
    hands("key", "ctrl+comma")
    f.window.find("check box", "Neurological convention").press()
    f.remembers("neurological", "true")
    f.window.find("check box", "Swap window and level").press()
    f.remembers("swap-window-drag", "true")
    hands("key", "Escape")


# --- what would be lost ---


@step
def asks_about_labels_that_are_not_saved(f):
    f.window.send("--model", f.model)
    f.seen("label", lambda name: name.startswith("Segment now uses"))
    button = f.seen("push button", "Segment")
    wait_for(lambda: button.now().has("SENSITIVE"), "the button Segment to take a click")
    button.press()
    f.seen("label", lambda name: name.startswith("Segmented in"), LONG)
    for key in ("ctrl+q", "ctrl+w"):
        hands("key", key)
        cancel(f, "Save the labels of")
    f.window.send(f.scan)  # would take their place
    cancel(f, "Save the labels of")
    f.window.find("list item", lambda name: name.startswith("Labels by "))
    hands("key", "ctrl+q")
    f.window.find("push button", "Discard").press()
    f.ended()


def cancel(f, words):
    """A dialog with these words comes, and goes with Escape."""
    f.window.find("label", lambda name: name.startswith(words))
    wait_for(lambda: len(windows()) == 2, "the question")
    settled()
    hands("key", "Escape")
    wait_for(lambda: len(windows()) == 1, "the question to go")


@step
def stops_a_training_with_a_checkpoint(f):
    f.start(f.dataset)
    train(f)
    hands("key", "ctrl+q")
    cancel(f, "Training is going on")
    hands("key", "ctrl+q")
    f.window.find("push button", "Stop With a Checkpoint").press()
    f.ended(LONG)
    checkpoints(1)


def train(f):
    button = f.seen("push button", "Start Training", LONG)
    wait_for(lambda: button.now().has("SENSITIVE"), "the plan to be there", LONG)
    button.press()
    heads = f.window.find("image", "Heads of the validation sample")
    wait_for(lambda: "Epoch" in heads.now().description, "the first heads", LONG)


def checkpoints(n):
    kept = glob.glob(f"{HOME}/data/tessera/runs/*/latest.safetensors")
    check(len(kept) == n and all(os.path.getsize(name) > 1000 for name in kept), f"checkpoints: {kept}")


@step
def trains_on_without_its_window(f):
    f.start(f.dataset)
    train(f)
    hands("key", "ctrl+q")
    f.window.find("push button", "Keep Training").press()
    wait_for(lambda: not windows(), "the window to go")
    f.window.alive()
    f.window.send()
    wait_for(windows, "the window to come back")
    f.window.process.terminate()  # as the end of a session: stops with a checkpoint, without a question
    f.ended(LONG)
    checkpoints(2)


def windows():
    found = subprocess.run(["xdotool", "search", "--onlyvisible", "--class", "tessera"], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, check=False)  # a window may go while it looks
    return found.stdout.split()


@step
def starts_as_it_was_left(f):
    shutil.rmtree(f"{HOME}/config", ignore_errors=True)
    os.makedirs(f"{HOME}/config/glib-2.0/settings")
    with open(f"{HOME}/config/glib-2.0/settings/keyfile", "w", encoding="utf-8") as file:
        file.write("[org/tessera/Tessera]\nwindow-width=1100\nwindow-height=700\nstyle='light'\n")
    f.start()
    # Its border, where nobody manages windows, counts or does not.
    wait_for(lambda: f.window.find("frame").box()[2:] in ((1090, 690), (1100, 700)),
             lambda: f"1100 x 700; it is {f.window.find('frame').box()}")
    wait_for(lambda: screen.grab((1000, 200, 60, 60)).share(lambda r, g, b: min(r, g, b) > 200) > 0.9, "the light style")
    f.window.find(None, lambda name: name.startswith("Open " + os.path.basename(f.scan)))
    hands("key", "ctrl+q")
    f.ended()


@step
def what_is_wrong_with_a_model_stays_beside_a_scan(f):
    f.start(f.scan, "--model", os.path.join(HOME, "junk.safetensors"))
    f.seen("image", "Canvas")
    f.seen("label", os.path.basename(f.scan)[:-len(".nii.gz")])
    settled()  # the scan is open; its opening must not put the sentence away
    f.seen("label", lambda text: "junk.safetensors: " in text)
    close = f.seen("push button", "Close this message")
    canvas = f.window.find("image", "Canvas")
    below = canvas.box()[1]
    close.press()
    wait_for(lambda: canvas.box()[1] < below, "the bar to go, which was there")
    hands("key", "ctrl+q")
    f.ended()


@step
def segments_with_models_of_nnunet(f):
    """A checkpoint and the folder of its folds; with a scan of one channel the sentence says what they need."""
    made = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "reference", "torch_checkpoint.pth")
    os.makedirs(f"{HOME}/trained/fold_0")
    shutil.copyfile(made, f"{HOME}/trained/fold_0/checkpoint_final.pth")
    f.start("--model", made)
    f.seen("label", lambda text: text.startswith("Segment now uses Dataset777_Made"))
    hands("key", "ctrl+q")
    f.ended()
    f.start(f.scan)
    f.seen("image", "Canvas")
    settled()
    f.window.send(f"{HOME}/trained")
    f.seen("label", lambda text: "needs 2 channels (CT, MR)" in text)
    hands("key", "ctrl+q")
    f.ended()


@step
def complained_about_nothing(f):
    f.log.seek(0)
    words = f.log.read().decode(errors="replace")
    complaints = [line for line in words.splitlines() if re.search(r"(CRITICAL|WARNING) \*\*", line)]
    check(not complaints, "it wrote: " + "; ".join(complaints[:5]))


sys.exit(run("frame", Frame))
