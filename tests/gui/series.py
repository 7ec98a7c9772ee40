"""A DICOM study, as a test (TAP): dropped on the window it shows its series; some of them are opened, by keys and by
hand; what was noticed stands in a bar; what goes wrong leaves what was open.

Run by run.sh. The study is written by dicom.py, a file a slice."""
import os
import re
import sys

import dicom
import screen
import xdnd
from steps import check, run, step
from window import Window, hands, settled, wait_for

HOME = os.environ["TESSERA_HOME"]
MIDDLE = 600, 400


# --- steps ---


class Series:
    """What the steps share."""

    def __init__(self):
        self.study = os.path.join(HOME, "study")
        dicom.write_study(self.study)
        self.log = open(os.path.join(HOME, "stderr"), "w+b")  # pylint: disable=consider-using-with
        self.window = Window(stderr=self.log, environment={"G_DEBUG": "fatal-criticals"})

    def shown(self, role, name, seconds=30.0):
        def look():
            return next((n for n in self.window.all(role, name) if n.box()[2] > 0), None)
        return wait_for(look, f"{role} \"{name if isinstance(name, str) else '...'}\" to be seen", seconds)

    def rows(self):
        return self.window.all("list item", under=self.window.find("list", "Volumes to choose from"))

    def layers(self):
        return [n.name for n in self.window.all("list item", under=self.window.find("list", "Layers"))]

    def gone(self):
        """The choice: its page, hidden, keeps its title but no rows."""
        wait_for(lambda: not self.rows(), "the choice to go")


@step
def a_dropped_study_shows_its_series(s):
    s.shown("label", "Open a scan or drop one here")
    check(xdnd.drop([s.study], *MIDDLE), "the window does not take a dropped folder")
    s.shown("label", "study holds 3 volumes")
    rows = wait_for(lambda: len(s.rows()) == 3 and s.rows(), "three rows")
    check([r.name for r in rows] == ["Thorax soft, CT, 24 x 24 x 8 · int16", "Thorax lung, CT, 24 x 24 x 5 · int16",
                                     "Spine, MR, 24 x 24 x 4 · int16"], f"the rows say {rows}")
    x, y, _, height = rows[2].box()
    wait_for(lambda: screen.grab((x + 15, y + 15, 50, height - 30)).share(lambda r, g, b: r == g == b and r > 200) > 0.3,
             "a picture of the last series")


@step
def escape_leaves_things_as_they_were(s):
    hands("key", "Escape")
    s.gone()
    s.shown("label", "Open a scan or drop one here")


@step
def keys_open_one(s):
    s.window.send(s.study)
    s.shown("label", "study holds 3 volumes")
    settled()
    hands("key", "Down", "Return")  # the first has the keyboard
    s.shown("image", "Canvas")
    wait_for(lambda: s.layers() == ["Thorax lung"], lambda: f"one layer, Thorax lung; there are {s.layers()}")


@step
def a_missing_slice_stands_above_the_canvas(s):
    note = s.shown("label", lambda text: "slice is missing" in text)
    canvas = s.window.find("image", "Canvas").box()
    check(note.box()[1] < canvas[1], "the note is not above the canvas")
    s.shown("push button", "Put these notes away").press()
    wait_for(lambda: s.window.find("image", "Canvas").box()[1] < canvas[1], "the canvas to have its place again")


@step
def several_are_opened_over_each_other(s):
    check(xdnd.drop([s.study], *MIDDLE), "the window does not take a dropped folder")
    s.shown("label", "study holds 3 volumes")
    settled()
    s.window.click(s.rows()[0])
    hands("keydown", "ctrl")
    s.window.click(s.rows()[2])
    hands("keyup", "ctrl")
    s.shown("push button", "Open 2").press()
    wait_for(lambda: s.layers() == ["Spine", "Thorax soft"], lambda: f"two layers; there are {s.layers()}")


@step
def what_lies_over_can_be_made_clear(s):
    row = s.window.find("list item", "Spine", under=s.window.find("list", "Layers"))
    s.window.click(row)
    slider = s.shown("slider", "Opacity")
    check(slider.value == 50, f"an opacity of {slider.value}")
    canvas = s.window.find("image", "Canvas").box()
    before = settled(canvas)
    slider.set_value(0)
    wait_for(lambda: screen.grab(canvas) != before, "the canvas to look different")


@step
def one_is_added_to_what_is_open(s):
    s.window.send(s.study)
    s.shown("label", "study holds 3 volumes")
    settled()
    s.window.click(s.rows()[1])
    s.shown("push button", "Add to the Open Scan").press()
    wait_for(lambda: s.layers() == ["Thorax lung", "Spine", "Thorax soft"], lambda: f"three layers; {s.layers()}")
    s.shown("label", lambda text: re.match(r"Thorax lung: .*slice is missing", text))


@step
def one_slice_offers_its_folder(s):
    s.window.send(f"{s.study}/IM0004")
    wait_for(lambda: s.layers() == ["IM0004"], lambda: f"the slice; there are {s.layers()}")
    s.shown("push button", "Open the Folder").press()
    s.shown("label", "study holds 3 volumes")
    hands("key", "Escape")
    wait_for(lambda: s.layers() == ["IM0004"], lambda: f"what was open; there are {s.layers()}")


@step
def damage_is_said_and_nothing_lost(s):
    bad = os.path.join(HOME, "bad")
    os.makedirs(bad)
    with open(f"{s.study}/IM0001", "rb") as file:
        whole = file.read()
    with open(f"{bad}/IM1", "wb") as file:
        file.write(whole[:200])
    s.window.send(bad)
    s.shown("label", lambda text: "bad" in text and text.count(": ") >= 1)
    s.shown("push button", "Open Another…")
    check(s.layers() == ["IM0004"], f"layers: {s.layers()}")
    s.shown("push button", "Close this message").press()


@step
def complained_about_nothing(s):
    hands("key", "ctrl+q")
    wait_for(lambda: s.window.process.poll() is not None, "the program to end")
    check(s.window.process.returncode == 0, f"the program ended with status {s.window.process.returncode}")
    s.log.seek(0)
    words = s.log.read().decode(errors="replace")
    complaints = [line for line in words.splitlines() if re.search(r"-(CRITICAL|WARNING) \*\*", line)]
    check(not complaints, "it wrote: " + "; ".join(complaints[:5]))


if not os.access(os.environ["TESSERA_CODEC"], os.X_OK):
    print("ok 1 series # SKIP built without tessera-codec, which reads DICOM\n1..1")
    sys.exit(0)
sys.exit(run("series", Series))
