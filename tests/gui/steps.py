"""What the tests of the window share: steps in order, told in TAP, and what there is to see when one fails."""
import os
import subprocess
import traceback

import screen
from window import Failed

LONG = 240.0  # for what computes: on a busy machine training stands back behind everything else
STEPS = []


def step(function):
    """Decorates a step; it gets what the steps share."""
    STEPS.append(function)
    return function


def check(truth, words):
    if not truth:
        raise Failed(words)


def cli(*args):
    return subprocess.run([os.environ["TESSERA_CLI"], *args], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, timeout=LONG).stdout.decode()


def report(name, shared, error):
    text = str(error) if isinstance(error, Failed) else "".join(traceback.format_exception(error))
    for line in text.splitlines():
        print(f"# {line[:2000]}")
    log = getattr(shared, "log", None)
    if log:
        log.seek(0)
        for line in log.read().decode(errors="replace").splitlines()[-20:]:
            print(f"# the program wrote: {line}")
    picture = os.path.join(os.environ.get("G_TEST_BUILDDIR", "/tmp"), f"{name}-failed.png")
    try:
        screen.grab().save(picture)
        print(f"# how it looked then: {picture}")
    except OSError:
        pass


def run(name, make):
    """Runs the steps over what make() gives: an object with `window` and perhaps `log`. Returns the exit status."""
    number, shared = 0, None
    try:
        shared = make()
        for number, act in enumerate(STEPS, 1):
            act(shared)
            print(f"ok {number} - {act.__name__.replace('_', ' ')}", flush=True)
        print(f"1..{len(STEPS)}")
        return 0
    except Exception as error:  # pylint: disable=broad-except
        print(f"not ok {max(number, 1)} - {STEPS[max(number - 1, 0)].__name__.replace('_', ' ')}")
        report(name, shared, error)
        print(f"1..{max(number, 1)}")
        return 1
    finally:
        if shared and shared.window:
            shared.window.close()
