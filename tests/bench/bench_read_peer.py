"""Reading a large file: 512 x 512 x 600 int16 of noise like a CT's as .nii.gz of some 97 MB, made here in a temporary
folder with gzip -6. Every case is run several times in turn with its peer, and medians are compared, so that what else
the machine does hits both:

- the reader and `tessera-cli info` (with its start) against `igzip -dc` to /dev/null (Debian's isal)
- the reader against nibabel's np.asarray (img.dataobj)
- an empty start (`--version`) against /bin/true: a difference in seconds, so without a ratio
- most memory, against the bytes of the voxels
- the time until the first slices can be looked at
- second-open: the reader once more, with the index of the file that the first reading left in the user's cache folder
  (here a folder of this benchmark's own, emptied before every other case), against igzip and nibabel
"""
import json, os, shutil, statistics, struct, subprocess, sys, tempfile, time

try:
    import numpy as np
except ImportError as e:
    print(f"peer: {e}", file=sys.stderr)
    sys.exit(77)

DIM, ROUNDS = (512, 512, 600), 7
VOXELS = 2 * DIM[0] * DIM[1] * DIM[2]
PROGRAM = os.environ["BENCH_PROGRAM"]
CLI = os.path.join(os.path.dirname(PROGRAM), "..", "..", "src", "cli", "tessera-cli")
WITH_NIBABEL = ("import sys, time, numpy, nibabel; start = time.perf_counter(); "
                "numpy.asarray(nibabel.load(sys.argv[1]).dataobj); print(time.perf_counter() - start)")


def header():
    h = bytearray(352)
    struct.pack_into("<i", h, 0, 348)
    struct.pack_into("<8h", h, 40, 3, *DIM, 1, 1, 1, 1)
    struct.pack_into("<2h", h, 70, 4, 16)
    struct.pack_into("<8f", h, 76, 1, 0.8, 0.8, 1, 1, 1, 1, 1)
    struct.pack_into("<2f", h, 108, 352, 1)
    struct.pack_into("<2h", h, 252, 0, 1)
    for row in range(3):
        struct.pack_into("<4f", h, 280 + 16 * row, *(0.8 * (row == 0), 0.8 * (row == 1), 1.0 * (row == 2), 0.0))
    h[344:348] = b"n+1\0"
    return h


def make(path):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:DIM[1], :DIM[0]]
    with open(path, "wb") as out, subprocess.Popen(["gzip", "-6"], stdin=subprocess.PIPE, stdout=out) as gzip:
        gzip.stdin.write(header())
        for k in range(DIM[2]):
            size = 1 + 0.1 * np.sin(k / 60)
            body = ((x - 256) / 200) ** 2 + ((y - 256) / 150) ** 2 < size
            slab = np.where(body, 40.0, -1000.0)
            for centre in (180, 330):
                slab -= 850 * (body & (((x - centre) / 60) ** 2 + ((y - 250) / 90) ** 2 < size))
            slab += 600 * (((x - 256) / 25) ** 2 + ((y - 350) / 25) ** 2 < size)
            slab += rng.normal(0, 4.45, slab.shape) * np.where(body, 1, 0.35)
            gzip.stdin.write(slab.round().astype("<i2").tobytes())


def wall(*command):
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def answer(*command):
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def line(case, unit, ours, peer=None, peer_value=None, ratio=None):
    print(json.dumps({"bench": "read", "case": case, "unit": unit, "ours": round(ours, 4), "peer": peer,
                      "peer_value": peer_value and round(peer_value, 4), "ratio": ratio and round(ratio, 4)}), flush=True)


def in_turn(*functions):
    """Medians of every function, and of the first's ratios to the others of its round."""
    rounds = [[f() for f in functions] for _ in range(ROUNDS)]
    return [statistics.median(r[i] for r in rounds) for i in range(len(functions))] + [
        statistics.median(r[i] / r[0] for r in rounds) for i in range(1, len(functions))]


def forget():
    shutil.rmtree(CACHE, ignore_errors=True)


def missing(what):
    print(f"peer: {what} is not installed", file=sys.stderr)


def read(path):
    loads, seconds = [], []

    def load():
        forget()
        loads.append(answer(PROGRAM, path))
        return loads[-1]["load"]

    def info():
        forget()
        return wall(CLI, "info", "--quiet", path)

    def again():
        seconds.append(answer(PROGRAM, path))
        return seconds[-1]["load"]

    def igzip():
        return wall("igzip", "-dc", path)

    def nibabel():
        return answer(sys.executable, "-c", WITH_NIBABEL, path)

    have_nibabel = subprocess.run([sys.executable, "-c", "import nibabel"], stderr=subprocess.DEVNULL,
                                  check=False).returncode == 0
    peers = {name: peer for name, peer, have in (("igzip -dc", igzip, shutil.which("igzip")),
                                                 ("nibabel", nibabel, have_nibabel)) if have}
    for name in ("igzip -dc", "nibabel"):
        if name not in peers:
            missing(name)

    def against(case, function, names):
        """The case beside all its peers in turn, a line for each of them."""
        names = [name for name in names if name in peers]
        result = in_turn(function, *[peers[name] for name in names])
        for i, name in enumerate(names):
            line(case, "s", result[0], name, result[1 + i], result[1 + len(names) + i])
        if not names:
            line(case, "s", result[0])

    against("tessera-cli info", info, ["igzip -dc"])
    against("reader", load, ["igzip -dc", "nibabel"])
    load()  # leaves the index
    against("second-open", again, ["igzip -dc", "nibabel"])
    line("first slices", "s", statistics.median(x["first"] for x in loads))
    line("first slices, second-open", "s", statistics.median(x["first"] for x in seconds))
    memory = statistics.median(x["memory"] for x in loads)
    line("most memory", "bytes", memory, "the voxels", VOXELS, VOXELS / memory)


folder = tempfile.mkdtemp()
CACHE = os.path.join(folder, "cache")
os.environ["XDG_CACHE_HOME"] = CACHE
try:
    scan = os.path.join(folder, "scan.nii.gz")
    make(scan)
    read(scan)
    starts = in_turn(*[lambda c=c: statistics.median(wall(*c) for _ in range(10)) for c in
                       ((CLI, "--version"), ("/bin/true",))])
    line("empty start", "s", starts[0], "/bin/true", starts[1])
finally:
    shutil.rmtree(folder)
