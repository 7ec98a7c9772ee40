"""Makes the pictures of docs/screens: every mode and state, in each size, style and language.

  screens.py TESSERA CLI OUT [--data FOLDER] [--dataset FOLDER --run FOLDER] [--only PATTERNS]
             [--sizes 1280x800,2560x1440] [--styles dark,light] [--languages en,ko]

FOLDER holds a CT and an MR scan with labels (nifti/ct/example_ct_sm.nii.gz and example_seg.nii.gz,
nifti/labelled/FLAIR.nii.gz and lesion.nii.gz); without it synthetic scans stand in. Files are called
STATE-WIDTH-STYLE-LANGUAGE.png, 256 colours.
"""
import argparse
import fnmatch
import glob
import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
STATES = []


def state(*names):
    """A function that takes the pictures of these names, in a window of its own."""
    def add(function):
        STATES.append((names, function))
        return function
    return add


# --- inside: on one display, in all styles and languages ---


class Studio:
    def __init__(self, options, style, language):
        self.options, self.style, self.language = options, style, language
        self.window = None

    def wanted(self, name):
        return any(fnmatch.fnmatch(name, pattern) for pattern in self.options.only.split(","))

    def start(self, *args, environment=None):
        """A window without its border is as large as the picture."""
        home = os.environ["TESSERA_HOME"]
        folder = os.path.join(home, "config", "glib-2.0", "settings")
        os.makedirs(folder, exist_ok=True)
        width, height = screen.grab().width, screen.grab().height
        with open(os.path.join(folder, "keyfile"), "w", encoding="utf-8") as file:
            file.write(f"[org/tessera/Tessera]\nstyle='{self.style}'\nwindow-width={width}\nwindow-height={height}\n")
        self.end()
        # English has no translations; C.UTF-8 is the only locale of a small machine, and LANGUAGE works in it.
        self.window = driver.Window(*args, environment={
            "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "LANGUAGE": self.language, **(environment or {})})
        return self.window

    def end(self):
        if self.window:
            self.window.close()
            self.window = None

    def take(self, name, ground=None):
        """@ground: what it looked like before a popover came. Without a compositor its shadow is a black box: there the
        ground is put back."""
        if not self.wanted(name):
            return
        driver.hands("mousemove", 0, 0)
        frame = screen.grab()
        try:
            driver.settled(seconds=6.0)
        except driver.Failed:
            pass  # a training does not come to rest
        inner = BORDER, BORDER, frame.width - 2 * BORDER, frame.height - 2 * BORDER
        frame = screen.grab(inner)
        if ground:
            frame = screen.Frame(frame.width, frame.height, b"".join(
                old if new[:3] == b"\0\0\0" else new for old, new in zip(pixels(ground), pixels(frame))))
        path = os.path.join(self.options.out, f"{name}-{frame.width}-{self.style}-{self.language}.png")
        frame.save(path)
        shrink(path)
        print(f"{os.path.getsize(path) // 1000:4d} kB  {os.path.basename(path)}", flush=True)

    def do(self, action, *arguments):
        """Does it, and waits until it is seen."""
        before = driver.settled()
        action(*arguments)
        driver.wait_for(lambda: screen.grab() != before, "something to change", 15.0)
        time.sleep(0.3)
        driver.settled()

    def ground(self):
        whole = screen.grab()
        driver.settled()
        return screen.grab((BORDER, BORDER, whole.width - 2 * BORDER, whole.height - 2 * BORDER))

    # --- what to look for, whatever the language ---

    def frame(self):
        return self.window.find("frame")

    def part(self, name):
        return self.window.find(None, name)

    def canvas(self):
        """Open, drawn, and with the keyboard."""
        canvas = driver.wait_for(
            lambda: next((n for n in self.window.all("image") if "view.grid" in n.actions()), None), "the canvas")
        driver.wait_for(lambda: " mm " in canvas.now().description, "a scan on the canvas", 60.0)
        return canvas

    def at(self, across, down, *words):
        x, y, width, height = self.canvas().box()
        driver.hands("mousemove", int(x + across * width), int(y + down * height), *words)

    def centre_dialogs(self):
        """Nobody manages windows here: a dialog would lie in the corner. Returns its X window."""
        def dialogs():
            ids = subprocess.run(["xdotool", "search", "--onlyvisible", "--pid", str(self.window.process.pid)],
                                 stdout=subprocess.PIPE, check=False).stdout.split()
            places = {}
            for i in ids:
                told = subprocess.run(["xdotool", "getwindowgeometry", "--shell", i], stdout=subprocess.PIPE,
                                      check=False).stdout
                numbers = dict(re.findall(r"(\w+)=(-?\d+)", told.decode()))
                places[i] = (int(numbers.get("WIDTH", 0)), int(numbers.get("HEIGHT", 0)))
            full = screen.grab()
            return {i: (w, h) for i, (w, h) in places.items() if 100 < w < full.width}
        found = driver.wait_for(dialogs, "a dialog")
        full = screen.grab()
        for i, (w, h) in found.items():
            driver.hands("windowmove", i.decode(), (full.width - w) // 2, max((full.height - h) // 2, 0))
        time.sleep(0.5)
        return list(found)


def pixels(frame):
    return (frame.pixels[i:i + 4] for i in range(0, len(frame.pixels), 4))


def shrink(path):
    """As it is where that is small, else in 256 colours or in 64, where a tool for that is there."""
    if shutil.which("convert"):
        subprocess.run(["convert", path, "-define", "png:compression-level=9", "-define", "png:compression-filter=0",
                        "PNG24:" + path], check=False)
    for colours in ("256", "64"):
        if os.path.getsize(path) <= (SMALL if colours == "256" else LARGE):
            return
        if shutil.which("pngquant"):
            subprocess.run(["pngquant", "--force", "--skip-if-larger", "--nofs", "--output", path, colours, path],
                           check=False)
        elif shutil.which("convert"):
            subprocess.run(["convert", path, "+dither", "-colors", colours, "-define", "png:compression-level=9",
                            "PNG8:" + path], check=False)


def scans(options):
    """(CT, its labels), (MR, its labels)"""
    if options.data:
        folder = os.path.join(options.data, "nifti")
        return ((f"{folder}/ct/example_ct_sm.nii.gz", f"{folder}/ct/example_seg.nii.gz"),
                (f"{folder}/labelled/FLAIR.nii.gz", f"{folder}/labelled/lesion.nii.gz"))
    case = (f"{MATERIAL}/large/imagesTr/phantom_001_0000.nii.gz", f"{MATERIAL}/large/labelsTr/phantom_001.nii.gz")
    return case, case


@state("welcome", "menu-open", "menu-main", "train-empty", "results-empty", "preferences", "shortcuts", "about",
       "palette")
def empty(s):
    w = s.start()
    driver.settled()
    s.take("welcome")
    buttons = [n for n in w.all("push button") if n.box()[1] < 60 and n.box()[2] > 0]
    if s.wanted("menu-open"):
        ground = s.ground()
        w.click(sorted(buttons, key=lambda n: n.box()[0])[1])
        time.sleep(0.6)
        s.take("menu-open", ground)
        driver.hands("key", "Escape")
    if s.wanted("menu-main"):
        ground = s.ground()
        driver.hands("key", "F10")
        time.sleep(0.6)
        s.take("menu-main", ground)
        driver.hands("key", "Escape")
    for key, name in (("ctrl+2", "train-empty"), ("ctrl+3", "results-empty")):
        s.do(driver.hands, "key", key)
        s.take(name)
    s.do(driver.hands, "key", "ctrl+1")
    for action, name in (("win.preferences", "preferences"), ("win.show-help-overlay", "shortcuts"),
                         ("win.about", "about"), ("win.palette", "palette")):
        if s.wanted(name):
            ground = s.ground() if name == "palette" else None
            s.frame().press(action)
            if name == "palette":
                time.sleep(0.8)
            else:
                s.centre_dialogs()
            s.take(name, ground)
            w = s.start()
            driver.settled()


@state("view-ct", "view-labels", "view-grid", "view-filled")
def view_ct(s):
    (scan, labels), _ = scans(s.options)
    s.start(scan, "--label", labels)
    canvas = s.canvas()
    driver.settled()
    s.do(s.at, 0.3, 0.45, "click", 1)
    s.take("view-labels")
    s.do(canvas.press, "view.labels")
    s.take("view-ct")
    s.do(canvas.press, "view.labels")
    s.do(canvas.press, "view.grid")
    s.take("view-grid")
    s.do(canvas.press, "view.grid")
    s.do(s.at, 0.3, 0.45, "click", "--repeat", 2, "--delay", 60, 1)
    s.take("view-filled")


@state("view-mr")
def view_mr(s):
    _, (scan, labels) = scans(s.options)
    s.start(scan, "--label", labels)
    s.canvas()
    driver.settled()
    s.take("view-mr")


@state("contents", "notes")
def contents(s):
    folder = f"{MATERIAL}/visit"
    case = f"{MATERIAL}/large/%s/phantom_001%s.nii.gz"
    if not os.path.isdir(folder):
        os.makedirs(folder)
        shutil.copy(case % ("imagesTr", "_0000"), f"{folder}/thorax.nii.gz")
        with gzip.open(case % ("labelsTr", "")) as labels, gzip.open(f"{folder}/thorax_labels.nii.gz", "wb") as copy:
            whole = bytearray(labels.read())
            whole[348] = 0  # no extension, and no names in it: they are looked for in the table beside it
            copy.write(whole)
        for k, path in enumerate(sorted(glob.glob(f"{MATERIAL}/small/imagesTr/*.nii.gz"))[:4], 1):
            shutil.copy(path, f"{folder}/follow-up {k}.nii.gz")
        with open(f"{folder}/thorax_labels.ctbl", "w", encoding="ascii") as table:
            table.write("one red\n")
    s.start(folder)
    rows = driver.wait_for(lambda: s.window.all("list item", lambda name: "thorax" in name), "the contents", 60.0)
    time.sleep(3.0)
    driver.hands("key", "End")
    s.window.click(rows[0])
    driver.hands("keydown", "ctrl")
    s.window.click(rows[1])
    driver.hands("keyup", "ctrl")
    s.take("contents")
    driver.hands("key", "Return")
    s.canvas()
    driver.wait_for(lambda: s.window.all("label", lambda name: ".ctbl" in name), "the note", 60.0)
    s.take("notes")


@state("welcome-recent")
def recent(s):
    (scan, labels), (other, _) = scans(s.options)
    s.start(scan, "--label", labels)
    s.canvas()
    s.window.send(other)
    driver.settled()
    time.sleep(1.0)
    s.start()
    driver.settled()
    s.take("welcome-recent")


def heads_of(s, run):
    """The largest picture of a run, once it is drawn."""
    def look():
        pictures = [n for n in s.window.all("image", under=run) if n.description]
        return max(pictures, key=lambda n: n.box()[2] * n.box()[3], default=None)
    heads = driver.wait_for(look, "the heads", 120.0)
    driver.wait_for(lambda: any(c.isdigit() for c in heads.now().description), "heads", 240.0)
    driver.settled()
    return heads


@state("train-plan", "train-running", "train-paused", "train-stopped")
def train(s):
    shutil.rmtree(os.path.join(os.environ["TESSERA_HOME"], "data"), ignore_errors=True)
    s.start(s.options.dataset)
    setup = s.part("TessTrainSetup")
    driver.wait_for(lambda: "setup.start" in setup.actions(), "the plan", 240.0)
    s.take("train-plan")
    shutil.copytree(f"{MATERIAL}/half", f"{MATERIAL}/copy", dirs_exist_ok=True)
    s.start("--run", f"{MATERIAL}/copy")
    run = s.part("TessRunView")
    driver.wait_for(lambda: "run.resume" in run.actions(), "the run", 120.0)
    run.press("run.resume")
    heads = heads_of(s, run)
    before = heads.description
    driver.wait_for(lambda: "run.pause" in run.actions() and heads.now().description != before, "the training", 240.0)
    time.sleep(1.0)
    s.take("train-running")
    run.press("run.pause")
    driver.wait_for(lambda: "run.continue" in run.actions(), "the pause", 240.0)
    s.take("train-paused")
    run.press("run.continue")
    run.press("run.stop")
    driver.wait_for(lambda: "run.resume" in run.actions(), "the end", 240.0)
    s.take("train-stopped")
    shutil.rmtree(f"{MATERIAL}/copy")


@state("train-finished", "train-scrubbed", "train-enlarged")
def run_folder(s):
    s.start("--run", f"{MATERIAL}/run")
    run = s.part("TessRunView")
    heads = heads_of(s, run)
    s.take("train-finished")
    slider = next(iter(s.window.all("slider", under=run)))
    slider.set_value(0)
    driver.wait_for(lambda: "run.live" in run.actions(), "an earlier epoch")
    time.sleep(1.0)
    s.take("train-scrubbed")
    run.press("run.live")
    x, y, width, height = heads.box()
    driver.hands("mousemove", x + int(0.4 * width), y + int(0.25 * height), "click", 1)
    time.sleep(0.6)
    s.take("train-enlarged")


@state("segment-running", "segment-done", "results", "results-difference", "results-reference")
def segment(s):
    truths = [sorted(glob.glob(f"{s.options.dataset}/{folder}/*.nii.gz")) for folder in ("labelsTs", "labelsTr")]
    truth = (truths[0] or truths[1])[0]
    held = truth.replace("labelsT", "imagesT")
    held = held if os.path.exists(held) else held.replace(".nii.gz", "_0000.nii.gz")
    model = f"{MATERIAL}/run/best.safetensors"
    if s.wanted("segment-running"):
        s.start(f"{MATERIAL}/large/imagesTr/phantom_001_0000.nii.gz", "--model", model)
        s.canvas()
        before = driver.settled((0, 45, 400, 60))
        s.frame().press("win.segment")
        driver.wait_for(lambda: screen.grab((0, 45, 400, 60)) != before, "the progress", 60.0)
        time.sleep(0.8)
        s.take("segment-running")
    s.start(held, "--model", model)
    canvas = s.canvas()
    driver.settled()
    before = screen.grab(canvas.box())
    s.frame().press("win.segment")
    driver.wait_for(lambda: len(s.window.all("list item", under=s.part("TessViewSidebar"))) > 3, "labels", 240.0)
    driver.wait_for(lambda: screen.grab(canvas.box()) != before, "labels on the canvas")
    s.take("segment-done")
    time.sleep(10.0)  # the toast goes
    s.window.send("--label", truth)
    driver.hands("key", "ctrl+3")
    table = s.part("TessResultsPage")
    driver.wait_for(lambda: sum("Dice" in n.name for n in s.window.all("list item", under=table)) > 1, "the numbers",
                    120.0)
    s.take("results")
    s.do(driver.hands, "key", "alt+2")
    s.take("results-reference")
    s.do(driver.hands, "key", "alt+3")
    s.take("results-difference")


@state("error-file", "error-folder", "error-missing", "error-model")
def errors(s):
    (scan, _), _ = scans(s.options)
    damaged = os.path.join(MATERIAL, "damaged.nii.gz")
    with open(scan, "rb") as file, open(damaged, "wb") as out:
        out.write(file.read()[:20000])
    for name, args in (("error-file", [damaged]), ("error-folder", ["/usr/share"]),
                       ("error-missing", [f"{MATERIAL}/no-such-scan.nii.gz"]),
                       ("error-model", [scan, "--model", f"{MATERIAL}/broken.safetensors"])):
        if s.wanted(name):
            with open(f"{MATERIAL}/broken.safetensors", "wb") as out:
                out.write(b"\xff" * 100)
            s.start(*args)
            time.sleep(1.0)
            driver.settled()
            s.take(name)


@state("error-gl")
def no_gl(s):
    (scan, _), _ = scans(s.options)
    s.start(scan, environment={"GDK_DEBUG": "gl-disable"})
    time.sleep(1.0)
    driver.settled()
    s.take("error-gl")


def inside(options):
    for style in options.styles.split(","):
        for language in options.languages.split(","):
            for names, function in STATES:
                studio = Studio(options, style, language)
                if not any(studio.wanted(name) for name in names):
                    continue
                try:
                    function(studio)
                except Exception:  # pylint: disable=broad-except
                    print(f"not taken: {', '.join(names)} ({style}, {language})\n{traceback.format_exc()}", flush=True)
                    options.failed = True
                finally:
                    studio.end()
    return 1 if options.failed else 0


# --- outside: the material, and a display for each size ---


def rows(path):
    """Epochs in a log.csv."""
    if not os.path.exists(path):
        return 0
    with open(path, encoding="ascii") as log:
        return max(len(log.readlines()) - 1, 0)


def make_material(options, folder):
    """Synthetic scans, a small data set, and a run on it."""
    def cli(*args):
        subprocess.run([options.cli, *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not os.path.isdir(f"{folder}/small"):
        cli("phantom", "--out", f"{folder}/small", "--cases", "8", "--test", "1", "--size", "72,64,56", "--seed", "4")
        cli("phantom", "--out", f"{folder}/large", "--cases", "1", "--test", "0", "--size", "224,192,160",
            "--seed", "6")
    options.dataset = os.path.abspath(options.dataset or f"{folder}/small")
    if options.run and not os.path.isdir(f"{folder}/run"):
        shutil.copytree(options.run, f"{folder}/run")
    plan = f"{folder}/plan.json"
    if not os.path.isfile(plan):
        cli("plan", options.dataset, "--out", plan, "--patch", "32,32,32")
    arguments = ("train", "--dataset", options.dataset, "--plan", plan, "--fold", "0", "--run")
    if not os.path.isdir(f"{folder}/run"):
        cli(*arguments, f"{folder}/run", "--minutes", str(options.minutes))
    if not os.path.isdir(f"{folder}/half"):  # stopped, so that it can go on
        with subprocess.Popen([options.cli, *arguments, f"{folder}/half"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as training:
            end = time.monotonic() + 10.0 * options.minutes * 60.0
            while rows(f"{folder}/half/log.csv") < 5 and time.monotonic() < end:
                time.sleep(1.0)
            training.send_signal(signal.SIGINT)


def outside(options):
    options.out = os.path.abspath(options.out)
    os.makedirs(options.out, exist_ok=True)
    material = os.path.abspath(options.material)
    os.makedirs(material, exist_ok=True)
    make_material(options, material)
    status = 0
    for size in options.sizes.split(","):
        width, height = map(int, size.split("x"))
        arguments = ["--only", options.only, "--styles", options.styles, "--languages", options.languages]
        arguments += ["--dataset", options.dataset]
        if options.data:
            arguments += ["--data", os.path.abspath(options.data)]
        status |= subprocess.run([os.path.join(HERE, "run.sh"), options.tessera, options.cli, os.path.abspath(__file__),
                                  options.tessera, options.cli, options.out, "--material", material, *arguments],
                                 env={**os.environ, "TESSERA_SCREEN": f"{width + 2 * BORDER}x{height + 2 * BORDER}"},
                                 check=False).returncode
    total = sum(os.path.getsize(p) for p in glob.glob(f"{options.out}/*.png"))
    print(f"{len(glob.glob(f'{options.out}/*.png'))} pictures, {total / 1e6:.1f} MB in {options.out}")
    return status


parser = argparse.ArgumentParser(description="Makes the pictures of docs/screens.")
parser.add_argument("tessera")
parser.add_argument("cli")
parser.add_argument("out")
parser.add_argument("--data", help="folder with real scans (TESSERA_SHARED_DATA of the tests)")
parser.add_argument("--dataset", help="a data set to show instead of synthetic scans; it needs --run")
parser.add_argument("--run", help="a run folder of it, instead of one trained here")
parser.add_argument("--material", default="/tmp/tessera-screens", help="where scans and run are made, and found again")
parser.add_argument("--minutes", type=float, default=3.0, help="of training for the pictures")
parser.add_argument("--only", default="*", help="names of states, with * and commas")
parser.add_argument("--sizes", default="1280x800,2560x1440")
parser.add_argument("--styles", default="dark,light")
parser.add_argument("--languages", default="en,ko")
chosen = parser.parse_args()
chosen.failed = False
MATERIAL = os.path.abspath(chosen.material)
BORDER = 5  # of a window that no window manager decorates
SMALL, LARGE = 64000, 300000  # bytes: pages of words; noise on a large screen
if "TESSERA_HOME" in os.environ:
    sys.path.insert(0, HERE)
    import screen
    import window as driver
    sys.exit(inside(chosen))
sys.exit(outside(chosen))
