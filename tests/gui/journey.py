"""The journey of a person who has never seen the window, as a test (TAP): look at a scan and its labels, train a
network on a small dataset, watch it learn, segment the scan with it, compare, save, and open it all again.

Every step looks at something that is only so when the step has worked: accessible text, the status line, pixels, files.
Run by run.sh."""
import glob
import json
import os
import re
import shutil
import sys

import screen
import xdnd
from steps import LONG, check, cli, run, step
from window import Window, hands, settled, wait_for

HOME = os.environ["TESSERA_HOME"]
MIDDLE = 600, 400
NOWHERE = 640, 785  # the status line: no tooltip comes there


def info(path):
    return json.loads(cli("info", path, "--json"))


class Journey:
    """What the steps share."""

    def __init__(self):
        self.dataset = os.path.join(HOME, "phantoms")
        cli("phantom", "--out", self.dataset, "--cases", "5", "--test", "1", "--size", "56,56,40", "--seed", "5",
            "--quiet")
        self.scan = glob.glob(f"{self.dataset}/imagesTs/*_0000.nii.gz")[0]
        self.name = os.path.basename(self.scan)[:-len(".nii.gz")]
        # A reference lies where it is drawn, under a name that says what it is.
        self.reference = os.path.join(HOME, "expert-labels.nii.gz")
        shutil.copy(glob.glob(f"{self.dataset}/labelsTs/*.nii.gz")[0], self.reference)
        self.saved = os.path.join(HOME, "segmented.nii.gz")
        self.log = open(os.path.join(HOME, "stderr"), "w+b")  # pylint: disable=consider-using-with
        self.window = self.volumes = self.dice = self._canvas = None

    def start(self, *args):
        self.window = Window(*args, stderr=self.log, environment={"G_DEBUG": "fatal-criticals"})

    # --- what can be seen ---

    @property
    def canvas(self):
        node = self._canvas and self._canvas.window is self.window and self._canvas.now()
        self._canvas = node or self.window.find("image", "Canvas")
        return self._canvas

    @property
    def status(self):
        return self.canvas.description

    def voxel(self):
        found = re.match(r"(\d+), (\d+), (\d+)   ", self.status)
        return tuple(map(int, found.groups())) if found else None

    def level(self):
        found = re.search(r"W (\S+) L (\S+)", self.status)
        return (float(found.group(1)), float(found.group(2))) if found else None

    def place(self):
        """The canvas but for its lower end, over which messages come and go."""
        x, y, width, height = self.canvas.box()
        return x, y, width, height - 90

    def picture(self):
        return settled(self.place())

    def pane(self, across=0.25, down=0.5):
        """A point of the canvas; a quarter of the way across lies in the axial pane."""
        x, y, width, height = self.canvas.box()
        return int(x + across * width), int(y + down * height)

    def shown(self, role, name, seconds=30.0):
        """One that has a size: those on hidden pages have none."""
        def look():
            return next((n for n in self.window.all(role, name) if n.box()[2] > 0), None)
        return wait_for(look, f"{role} \"{name if isinstance(name, str) else '...'}\" to be seen", seconds)

    def changed(self, before):
        """The canvas once it looks different and rests."""
        wait_for(lambda: screen.grab(self.place()) != before, "the canvas to look different")
        return settled(self.place())

    def again(self, before):
        """Waits until the canvas looks as it did."""
        wait_for(lambda: screen.grab(self.place()) == before, "the canvas to look as before")

    def label_volumes(self):
        """{label: mL} of the label table."""
        rows = {}
        for row in self.window.all("list item", under=self.window.find("list", "Labels", under=self.sidebar())):
            texts = [n.name for n in self.window.all("label", under=row)]
            if len(texts) == 2 and texts[1].endswith(" mL"):
                rows[texts[0]] = float(texts[1][:-3])
        return rows

    def sidebar(self):
        return self.window.find("filler", "TessViewSidebar")


def toast(j, words, seconds=30.0):
    return j.window.find("label", lambda name: re.search(words, name), seconds=seconds).name


# --- looking ---


@step
def starts_empty_and_says_what_to_do(j):
    j.start()
    j.shown("label", "Open a scan or drop one here", LONG)
    j.shown("push button", "Open a Scan…")


@step
def opens_a_scan_dropped_on_it(j):
    before = settled()
    check(xdnd.drop([j.scan], *MIDDLE), "the window does not take a dropped file")
    j.shown("label", j.name)
    wait_for(lambda: "zoom" in j.status, "the status line")
    dims = info(j.scan)["dims"]
    j.shown("label", lambda name: name.startswith("{} x {} x {}".format(*dims)))
    check(j.voxel() and all(0 <= v < n for v, n in zip(j.voxel(), dims)), f"no voxel in the status line: {j.status}")
    after = settled()
    check(after.difference(before) > 0.3, "the window looks as before")
    grey = j.picture().share(lambda r, g, b: r == g == b and 40 < r < 250)
    check(grey > 0.1, f"only {grey:.1%} of the canvas show grey tissue")


@step
def shows_labels_over_it(j):
    before = j.picture()
    check(xdnd.drop([j.reference], *MIDDLE), "the window does not take a dropped file")
    wait_for(lambda: len(j.label_volumes()) == 3, lambda: f"three labels; there are {j.label_volumes()}")
    after = j.changed(before)
    colour = after.share(lambda r, g, b: max(r, g, b) - min(r, g, b) > 60)
    check(colour > 0.01, f"only {colour:.1%} of the canvas are coloured")
    # The table's millilitres are those of the file.
    told = json.loads(cli("evaluate", "--reference", j.reference, "--prediction", j.reference, "--json"))
    volumes = sorted(round(v / 1000.0, 1) for v in volumes_of(told))
    check(sorted(j.label_volumes().values()) == volumes, f"volumes {j.label_volumes()}, but the file has {volumes}")


def volumes_of(told):
    """The reference's volumes (mm3) in what `evaluate --json` says, label by label."""
    return [row["volume_reference_mm3"] for row in told["cases"][0]["labels"].values()]


@step
def scrolls_with_wheel_and_keys(j):
    hands("mousemove", *j.pane())
    wait_for(j.voxel, "a voxel under the pointer")
    first, before = j.voxel(), j.picture()
    hands("click", "--repeat", 3, "--delay", 20, 5)
    wait_for(lambda: j.voxel() and abs(j.voxel()[2] - first[2]) == 3,
             lambda: f"slice {first[2]} +- 3; it is {j.status}")
    check(j.changed(before).difference(before) > 0.01, "scrolling does not change the picture")
    hands("key", "--repeat", 3, "--delay", 20, "Page_Up" if j.voxel()[2] < first[2] else "Page_Down")
    wait_for(lambda: j.voxel() == first, lambda: f"voxel {first} again; it is {j.status}")
    j.again(before)


@step
def clicks_the_crosshair_somewhere(j):
    before = j.picture()
    hands("mousemove", *j.pane(0.2, 0.45), "click", 1)
    here = wait_for(j.voxel, "a voxel under the pointer")
    j.changed(before)
    hands("mousemove", *NOWHERE)  # the pointer leaves: the line tells of the crosshair
    wait_for(lambda: j.voxel() == here, lambda: f"crosshair at {here}; the line says {j.status}")


@step
def windows_by_dragging(j):
    first, before = j.level(), j.picture()
    x, y = j.pane()
    hands("mousemove", x, y, "mousedown", 1)
    for i in range(1, 11):
        hands("mousemove", x + 6 * i, y + 3 * i)
    hands("mouseup", 1)
    width = first[0] * (1.0 + 60.0 / 256.0)  # a drag over 256 pixels changes the width by itself
    wait_for(lambda: abs(j.level()[0] - width) < 1.0, lambda: f"the width {width}; the status line says {j.level()}")
    now = j.level()
    check(now[1] < first[1], f"a drag downwards turned the level {first[1]} into {now[1]}")
    check(j.changed(before).difference(before) > 0.02, "the picture does not follow the window")
    spin = j.window.find("spin button", "Width")
    wait_for(lambda: abs(spin.value - now[0]) < 0.1, lambda: f"the inspector's width {now[0]}; it is {spin.value}")
    hands("key", "1")
    wait_for(lambda: j.level() == (400.0, 40.0), lambda: f"the preset of soft tissue; it is {j.level()}")
    wait_for(lambda: spin.value == 400.0, "the inspector to follow the preset")


@step
def hides_and_shows_a_label(j):
    before = j.picture()
    name = max(j.label_volumes(), key=j.label_volumes().get)
    j.window.find("push button", f"Hide {name}").press()
    j.window.find("push button", f"Show {name}")
    without = j.changed(before)
    j.window.find("push button", f"Show {name}").press()
    j.window.find("push button", f"Hide {name}")
    check(without != before, "hiding a label changes nothing")
    j.again(before)


@step
def shows_a_label_alone(j):
    before, names = j.picture(), sorted(j.label_volumes())
    chosen, others = names[1], [names[0], names[2]]
    alt_click_label(j, chosen)
    for name in others:
        j.window.find("push button", f"Show {name}")
    j.window.find("push button", f"Hide {chosen}")
    alone = j.changed(before)
    check(alone != before, "nothing changed on the canvas")
    alt_click_label(j, chosen)
    for name in names:
        j.window.find("push button", f"Hide {name}")
    j.again(before)


def alt_click_label(j, name):
    label = j.window.find("label", name, under=j.window.find("list", "Labels", under=j.sidebar()))
    hands("keydown", "alt")
    j.window.click(label)
    hands("keyup", "alt", "mousemove", *NOWHERE)


@step
def shows_the_patch_grid(j):
    hands("mousemove", *j.pane(), "click", 1)  # a click on the canvas takes the keyboard
    before = j.picture()
    hands("key", "g")
    check_box = j.window.find("check box", "Show the grid")
    wait_for(lambda: check_box.now().has("CHECKED"), "the switch of the grid to turn on")
    with_grid = j.changed(before)
    dims = info(j.scan)["dims"]
    for axis in "XYZ":
        j.window.find("spin button", f"Patch {axis}").set_value(24)
    for axis in "XYZ":
        j.window.find("spin button", f"Stride {axis}").set_value(12)
    steps = [-(-(n - 24) // 12) + 1 for n in dims]
    j.window.find("label", lambda name: name.startswith("{} × {} × {} = {} patches".format(
        *steps, steps[0] * steps[1] * steps[2])))
    check(j.changed(with_grid) != with_grid, "the grid does not follow its numbers")
    hands("key", "g")
    wait_for(lambda: not check_box.now().has("CHECKED"), "the switch of the grid to turn off")
    j.again(before)


@step
def fills_the_canvas_with_a_pane(j):
    before = j.picture()
    hands("mousemove", *j.pane(0.2, 0.4), "click", "--repeat", 2, "--delay", 60, 1)
    filled = j.changed(before)
    check(filled.difference(before) > 0.2, "a double click does not fill the canvas")
    hands("key", "Escape")
    check(j.changed(filled).difference(filled) > 0.2, "Escape does not bring the three panes back")


# --- training ---


@step
def plans_for_a_dropped_dataset(j):
    hands("key", "ctrl+2")
    j.shown("label", "Choose a dataset folder")
    check(xdnd.drop([j.dataset], *MIDDLE), "the window does not take a dropped folder")
    ready_to_start(j)
    for case in range(1, 6):
        j.window.find("label", f"phantom_00{case}")
    for label in ("organ", "vessel", "gland"):
        j.window.find("label", lambda name, label=label: label in name)
    case = j.shown("label", "phantom_002")
    before = case.box()[1]
    hands("mousemove", *case.centre(), "click", 5)
    wait_for(lambda: case.box()[1] < before, "the wheel to turn the page over the list of cases")


def ready_to_start(j):
    button = j.shown("push button", "Start Training", LONG)
    wait_for(lambda: button.now().has("SENSITIVE"), "the plan to be there", LONG)
    return button


@step
def makes_the_plan_smaller(j):
    row = j.window.find("list item", "Change the plan")
    j.window.reach(row)
    j.window.click(row)
    for axis in "xyz":
        j.window.find("spin button", f"Patch, voxels along {axis}").set_value(24)
    again = wait_for(lambda: next((n for n in j.window.all("push button", "Plan Again") if n.box()[2] > 0), None),
                     "a button to plan again")
    j.window.reach(again)
    again.press()
    j.window.find("list item", "Patch 24 x 24 x 24", seconds=LONG)
    ready_to_start(j)
    j.window.find("spin button", "Iterations an epoch").set_value(6)


@step
def trains_and_the_heads_change(j):
    ready_to_start(j).press()
    heads = j.window.find("image", "Heads of the validation sample")
    wait_for(lambda: heads.now().has("FOCUSED"), "the pictures to have the keyboard, and not a button")
    wait_for(lambda: "Epoch" in heads.now().description, "the first heads", LONG)
    last = settled(heads.box())
    for epoch in (1, 2):
        wait_for(lambda epoch=epoch: number(heads.now().description, r"Epoch (\d+)") >= epoch,
                 lambda: f"another epoch; it is {heads.now().description}", LONG)
        wait_for(lambda: screen.grab(heads.box()).difference(last) > 0.02, "the heads to look different")
        last = screen.grab(heads.box())
    j.window.find("label", lambda name: re.search(r"epoch \d+/\d+ .*it/s .*left .*memory", name))
    curve = j.window.find("image", "Loss")
    wait_for(lambda: curve.now().description and "No epoch" not in curve.now().description, "a loss curve")


def number(text, pattern):
    found = re.search(pattern, text)
    return int(found.group(1)) if found else -1


@step
def pauses_and_goes_on(j):
    j.shown("push button", "Pause").press()
    j.window.find("label", "Paused", seconds=LONG)
    line = j.window.find("label", lambda name: name.startswith("epoch ")).name
    heads = j.window.find("image", "Heads of the validation sample").box()
    check(settled(heads) == settled(heads), "the heads move while paused")
    now = j.window.find("label", lambda name: name.startswith("epoch ")).name
    check(number(now, r"it (\d+)") == number(line, r"it (\d+)"), f"iterations go on while paused: {line}, then {now}")
    j.shown("push button", "Continue").press()
    j.window.find("label", "Training", seconds=LONG)


@step
def scrubs_back_to_an_earlier_epoch(j):
    heads = j.window.find("image", "Heads of the validation sample")
    wait_for(lambda: number(heads.now().description, r"Epoch (\d+)") >= 3, "three epochs", LONG)
    slider = j.window.find("slider", "Kept epochs")
    slider.set_value(0)
    j.window.find("label", lambda name: re.match(r"epoch [01] beside \d+", name))
    check("Beside it the newest" in wait_for(lambda: "Beside" in heads.now().description and heads.now().description,
                                             "an earlier epoch beside the newest"), heads.now().description)
    beside = screen.grab(heads.box())
    j.shown("push button", "Live").press()
    j.window.find("label", lambda name: name.startswith("live: epoch"))
    wait_for(lambda: screen.grab(heads.box()).difference(beside) > 0.2, "the heads of now alone")


@step
def stops_with_a_model(j):
    j.shown("push button", "Stop").press()
    j.window.find("label", "Stopped", seconds=LONG)
    run = glob.glob(f"{HOME}/data/tessera/runs/*")
    check(len(run) == 1, f"run folders: {run}")
    for name in ("best.safetensors", "latest.safetensors", "log.csv", "plan.json"):
        check(os.path.getsize(os.path.join(run[0], name)) > 0, f"{name} is empty")
    with open(os.path.join(run[0], "log.csv"), encoding="ascii") as log:
        check(len(log.readlines()) >= 4, "log.csv has fewer rows than epochs were seen")
    with open(os.path.join(run[0], "best.safetensors"), "rb") as model:
        header = json.loads(model.read(int.from_bytes(model.read(8), "little")))
    check(len(header) > 10 and "__metadata__" in header, f"the model's header has {sorted(header)}")


# --- segmenting and comparing ---


@step
def segments_the_scan_with_it(j):
    j.shown("push button", "Use This Model").press()
    toast(j, r"^Segment now uses ")
    j.shown("list", "Layers")
    button = j.shown("push button", "Segment")
    wait_for(lambda: button.now().has("SENSITIVE"), "the button Segment to take a click")
    before = j.picture()
    button.press()
    toast(j, r"^Segmented in ", LONG)
    j.window.find("list item", lambda name: name.startswith("Labels by "), under=j.window.find("list", "Layers"))
    # Little training may leave a label unfound.
    wait_for(lambda: j.label_volumes() and set(j.label_volumes()) <= {"gland", "organ", "vessel"},
             lambda: f"the model's labels by name; there are {j.label_volumes()}")
    j.volumes = j.label_volumes()
    check(sum(j.volumes.values()) > 0, "nothing at all was found")
    check(j.changed(before) != before, "the labels found are not seen")


@step
def compares_with_the_reference(j):
    before = settled()
    hands("key", "ctrl+3")
    table = j.window.find("list", "Agreement of every label")
    rows = wait_for(lambda: [n.name for n in j.window.all("list item", under=table) if "Dice" in n.name],
                    "a comparison", LONG)
    j.dice = {}
    for row in rows:
        found = re.match(r"(.*): Dice (\S+), IoU (\S+), HD95 ", row)
        check(found, f"a row of the comparison says {row}")
        j.dice[found.group(1)] = found.group(2)
    check({"organ", "vessel", "gland"} <= set(j.dice), f"labels compared: {j.dice}")
    check(settled().difference(before) > 0.02, "the window looks as before")
    prediction = j.picture()
    hands("key", "alt+2")
    reference = j.changed(prediction)
    hands("key", "alt+3")
    check(j.changed(reference) != prediction, "the difference looks like the prediction")
    for words in ("agree", "only in prediction", "only in reference"):
        j.shown("label", words)


@step
def saves_the_labels(j):
    hands("key", "ctrl+s")
    j.window.find("text", "Name:").write(j.saved)
    j.window.find("push button", "Save").press()
    toast(j, "^Saved segmented.nii.gz$")
    scan, labels = info(j.scan), info(j.saved)
    check(labels["dims"] == scan["dims"], f"saved {labels['dims']} voxels for a scan of {scan['dims']}")
    for ours, theirs in zip(labels["affine"], scan["affine"]):
        check(all(abs(a - b) < 1e-4 for a, b in zip(ours, theirs)), f"saved on the grid {labels['affine']}")
    check(labels["channels"] == 1 and labels["dtype"].startswith(("uint", "int")), f"saved as {labels['dtype']}")
    check(labels["max"] in (1.0, 2.0, 3.0), f"the largest label saved is {labels['max']}")


@step
def the_numbers_shown_are_those_of_the_file(j):
    told = json.loads(cli("evaluate", "--reference", j.reference, "--prediction", j.saved, "--json"))
    for value, name in (("1", "organ"), ("2", "vessel"), ("3", "gland")):
        dice = told["cases"][0]["labels"][value]["dice"]
        shown = j.dice[name]
        if dice is None:
            check(not re.match(r"\d", shown), f"{name}: Dice {shown}, but there is none")
        else:
            check(abs(float(shown) - dice) < 0.0006, f"{name}: Dice {shown} in the window, {dice} of the file")


@step
def opens_it_all_again(j):
    hands("key", "ctrl+q")
    wait_for(lambda: j.window.process.poll() is not None, "the program to end")
    check(j.window.process.returncode == 0, f"the program ended with status {j.window.process.returncode}")
    j.start(j.scan, "--label", j.saved)
    there = sorted(v for v in j.volumes.values() if v > 0)
    wait_for(lambda: sorted(j.label_volumes().values()) == there,
             lambda: f"the volumes from before, {j.volumes}; there are {j.label_volumes()}")
    check(j.canvas.now() is not None, "no canvas")
    button = j.window.find("push button", "Segment")
    check(button.has("SENSITIVE"), "the model from before is not remembered")


@step
def complained_about_nothing(j):
    check(j.window.close() in (0, -15), f"the program ended with status {j.window.process.returncode}")
    j.log.seek(0)
    words = j.log.read().decode(errors="replace")
    complaints = [line for line in words.splitlines() if re.search(r"-(CRITICAL|WARNING) \*\*", line)]
    check(not complaints, "it wrote: " + "; ".join(complaints[:5]))


sys.exit(run("journey", Journey))
