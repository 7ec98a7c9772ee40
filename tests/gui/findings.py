"""Findings in the window, as a test (TAP): a table dropped on a scan is drawn over it and listed; a row goes there; they
are taken away and come back; a table of another scan is refused with a reason.

Run by run.sh."""
import glob
import json
import os
import re
import sys

import screen
import xdnd
from steps import check, cli, run, step
from window import Window, hands, settled, wait_for

HOME = os.environ["TESSERA_HOME"]
MIDDLE = 600, 400
NOWHERE = 640, 785


class Hall:
    """What the steps share: a scan, and tables with places given in its voxels."""

    def __init__(self):
        data = os.path.join(HOME, "phantoms")
        cli("phantom", "--out", data, "--cases", "1", "--test", "1", "--size", "64,56,48", "--seed", "5", "--quiet")
        self.scan = glob.glob(f"{data}/imagesTs/*_0000.nii.gz")[0]
        self.name = os.path.basename(self.scan)[:-len(".nii.gz")]
        self.affine = json.loads(cli("info", self.scan, "--json"))["affine"]
        self.table = os.path.join(HOME, "nodules.csv")
        self.write(self.table, [(self.name, (30, 20, 25), 120, "solid"), (self.name, (12, 40, 10), 6, ""),
                                (self.name, (90, 20, 25), 5, "far"), ("other", (5, 5, 5), 5, "")])
        self.strange = os.path.join(HOME, "strange.csv")
        self.write(self.strange, [("a", (1, 2, 3), 4, ""), ("b", (1, 2, 3), 4, "")])
        self.log = open(os.path.join(HOME, "stderr"), "w+b")  # pylint: disable=consider-using-with
        self.window = None

    def write(self, path, rows):
        with open(path, "w", encoding="utf-8") as file:
            file.write("seriesuid,coordX,coordY,coordZ,diameter_mm,class\r\n")
            for scan, voxel, diameter, kind in rows:
                r, a, s = [sum(m * v for m, v in zip(row, (*voxel, 1))) for row in self.affine[:3]]
                file.write(f"{scan},{-r!r},{-a!r},{s!r},{diameter},{kind}\r\n")

    def voxel(self):
        found = re.match(r"(\d+), (\d+), (\d+)   ", self.window.find("image", "Canvas").now().description)
        return tuple(map(int, found.groups())) if found else None

    def canvas(self):
        x, y, width, height = self.window.find("image", "Canvas").box()
        return x, y, width, height - 90

    def rows(self):
        return [r for r in self.window.all("list item", under=self.window.find("list", "Findings")) if r.box()[2] > 0]

    def texts(self, row):
        return [n.name for n in self.window.all("label", under=row)]

    def violet(self):
        """The share of the canvas that has the colour findings are drawn in."""
        return settled(self.canvas()).share(lambda r, g, b: b > g + 50 and r > g + 30)


@step
def opens_a_scan(h):
    h.window = Window(h.scan, stderr=h.log, environment={"G_DEBUG": "fatal-criticals"})
    wait_for(lambda: any(n.box()[2] > 0 for n in h.window.all("image", "Canvas")) and h.voxel(), "the scan", 120)
    check(h.violet() == 0, "something is violet already")


@step
def lists_and_draws_a_dropped_table(h):
    check(xdnd.drop([h.table], *MIDDLE), "the window does not take a dropped table")
    wait_for(lambda: len(h.rows()) == 3, lambda: f"three rows; there are {[h.texts(r) for r in h.rows()]}")
    first, second, far = [h.texts(r) for r in h.rows()]
    check(first[0] == "Finding 1 · solid" and first[1] == "120 mm", f"the first row says {first}")
    check(re.fullmatch(r"[LR] \d+\.\d  [AP] \d+\.\d  [SI] \d+\.\d mm", first[2]), f"the first row says {first}")
    check(second[0] == "Finding 2" and second[1] == "6 mm", f"the second row says {second}")
    check(far[2].startswith("outside: "), f"the third row says {far}")
    h.window.find("label", "3 in nodules.csv, 1 outside the scan")


@step
def goes_to_a_finding(h):
    hands("mousemove", *NOWHERE)
    h.window.click(h.rows()[0])
    wait_for(lambda: h.voxel() == (30, 20, 25), lambda: f"30, 20, 25; it is {h.voxel()}")
    hands("mousemove", *NOWHERE)
    check(h.violet() > 0.0005, "no circle is seen")
    save = os.environ.get("TESSERA_PICTURE")
    if save:
        screen.grab().save(save)
    h.window.click(h.rows()[1])
    wait_for(lambda: h.voxel() == (12, 40, 10), lambda: f"12, 40, 10; it is {h.voxel()}")
    h.window.click(h.rows()[2])
    settled(h.canvas())
    check(h.voxel() == (12, 40, 10), f"one outside the scan was gone to: {h.voxel()}")


@step
def takes_them_away_and_back(h):
    h.window.find("push button", "Remove findings").press()
    hands("mousemove", *NOWHERE)
    wait_for(lambda: not h.rows(), "the list to go")
    check(h.violet() == 0, "a circle is still seen")
    h.window.find("push button", "Undo").press()
    wait_for(lambda: len(h.rows()) == 3, "the list to come back")
    check(h.violet() > 0, "no circle is back")


@step
def says_that_a_table_is_of_another_scan(h):
    h.window.send(h.strange)
    h.window.find("label", lambda text: "strange.csv: none of its 2 findings is of this scan" in text)
    check(len(h.rows()) == 3, "the findings are gone")
    h.window.find("push button", "Close this message").press()


@step
def forgets_them_with_their_scan(h):
    h.window.send(h.scan, h.table)  # both at once: the table waits for the scan
    wait_for(lambda: len(h.rows()) == 3, "the findings of the scan opened with them")
    h.window.send(h.scan)
    wait_for(lambda: not h.rows(), "the list to go")
    check(h.violet() == 0, "a circle is still seen")


@step
def complained_about_nothing(h):
    check(h.window.close() in (0, -15), "the program did not end well")
    h.log.seek(0)
    lines = [line for line in h.log.read().decode(errors="replace").splitlines()
             if re.search(r"(WARNING|CRITICAL|ERROR)", line) and ("essera" in line or "Gtk-" in line)]
    check(not lines, f"it complained: {lines[:3]}")


sys.exit(run("findings", Hall))
