"""Drives the real window through the accessibility bus, as a screen reader would, and with xdotool's hands."""
import os
import subprocess
import time

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib  # noqa: E402


class Failed(Exception):
    """What a step expected and did not find."""


def attempt(call, otherwise=None):
    """An accessible may go away at any moment; then it simply is not what is looked for."""
    try:
        return call()
    except GLib.Error:
        return otherwise


def wait_for(what, describe, seconds=20.0):
    """The first true value of what(); describes what was waited for when it does not come."""
    end = time.monotonic() + seconds
    while True:
        value = attempt(what)
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:g} s for {describe() if callable(describe) else describe}")
        time.sleep(0.05)


class Node:
    """One accessible."""

    def __init__(self, accessible):
        self.it = accessible
        self._role = None

    @property
    def name(self):
        return attempt(self.it.get_name, "") or ""

    @property
    def role(self):
        if not self._role:  # never changes
            self._role = attempt(self.it.get_role_name, "") or ""
        return self._role

    @property
    def description(self):
        return attempt(self.it.get_description, "") or ""

    @property
    def text(self):
        """What is written in it: a label's or an entry's text."""
        return attempt(lambda: Atspi.Text.get_text(self.it, 0, -1), "") or ""

    @property
    def value(self):
        return attempt(lambda: Atspi.Value.get_current_value(self.it))

    @property
    def value_text(self):
        return attempt(lambda: Atspi.Value.get_text(self.it), "") or ""

    def has(self, state):
        states = attempt(self.it.get_state_set)
        return bool(states) and states.contains(getattr(Atspi.StateType, state))

    def children(self):
        n = attempt(self.it.get_child_count, 0) or 0
        for i in range(n):
            child = attempt(lambda i=i: self.it.get_child_at_index(i))
            if child:
                yield Node(child)

    def walk(self):
        yield self
        for child in self.children():
            yield from child.walk()

    def actions(self):
        n = attempt(lambda: Atspi.Action.get_n_actions(self.it), 0) or 0
        return [attempt(lambda i=i: Atspi.Action.get_action_name(self.it, i), "") for i in range(n)]

    def press(self, action=None):
        names = self.actions()
        if not names:
            raise Failed(f"{self!r} has no action")
        index = names.index(action) if action else 0
        if not attempt(lambda: Atspi.Action.do_action(self.it, index)):
            raise Failed(f"{self!r} cannot be pressed")

    def set_value(self, value):
        if not attempt(lambda: Atspi.Value.set_current_value(self.it, float(value))):
            raise Failed(f"{self!r} takes no value")

    def write(self, text):
        if not attempt(lambda: Atspi.EditableText.set_text_contents(self.it, text)):
            raise Failed(f"{self!r} takes no text")

    def box(self):
        """x, y, width, height on the screen."""
        r = self.it.get_extents(Atspi.CoordType.SCREEN)
        return r.x, r.y, r.width, r.height

    def __repr__(self):
        return f"<{self.role} \"{self.name}\">"


class Window:
    """The program: started, looked at, and ended."""

    def __init__(self, *args, environment=None, stderr=None):
        Atspi.init()
        Atspi.set_timeout(5000, 10000)
        self.process = subprocess.Popen([os.environ["TESSERA_PROGRAM"], *args], stderr=stderr,
                                        env={**os.environ, **(environment or {})})
        self.known = []
        self.root = wait_for(self._find_root, "the window on the accessibility bus", 30.0)

    def _find_root(self):
        if self.process.poll() is not None:
            raise Failed(f"the program ended with status {self.process.returncode}")
        desktop = Atspi.get_desktop(0)
        for i in range(desktop.get_child_count()):
            child = desktop.get_child_at_index(i)
            if child and attempt(child.get_process_id) == self.process.pid:
                child.set_cache_mask(Atspi.Cache.NONE)  # what GTK changes is not always told
                child.clear_cache()
                if child.get_child_count() > 0:
                    return Node(child)
        return None

    def all(self, role=None, name=None, under=None, nodes=None):
        """Accessibles of this role whose name is, or fits where it is a function, what is asked for. GTK 4.8 tells of
        those on hidden pages too, and does not tell which they are."""
        for node in nodes if nodes is not None else (under or self.root).walk():
            if role and node.role != role:
                continue
            if name is not None and not (name(node.name) if callable(name) else node.name == name):
                continue
            yield node

    def _look(self, role, name, under):
        """Among those seen before, then everywhere: a walk through the tree takes a second."""
        if under:
            return next(self.all(role, name, under), None)
        found = next(self.all(role, name, nodes=self.known), None)
        if not found:
            self.known = list(self.root.walk())
            found = next(self.all(role, name, nodes=self.known), None)
        return found

    def find(self, role=None, name=None, under=None, seconds=20.0):
        def describe():
            seen = sorted({f"{n.role} \"{n.name}\"" for n in self.all(role, under=under) if n.name})
            return f"{role or 'something'} \"{'...' if callable(name) else name}\"; there are: " + "; ".join(seen)
        return wait_for(lambda: self._look(role, name, under), describe, seconds)

    def alive(self):
        if self.process.poll() is not None:
            raise Failed(f"the program ended with status {self.process.returncode}")

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def hands(*words):
    """xdotool, finished when it returns."""
    subprocess.run(["xdotool", *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def dump(node, depth=0, deepest=40):
    """For writing tests: the tree as text."""
    states = "".join(s[0] for s in ("SENSITIVE", "CHECKED", "PRESSED", "FOCUSED", "EXPANDED") if node.has(s))
    print("  " * depth + f"{node.role} \"{node.name}\" [{states}]" +
          (f" desc=\"{node.description}\"" if node.description else "") +
          (f" text=\"{node.text}\"" if node.text and node.text != node.name else "") +
          (f" value={node.value}" if node.value is not None else "") +
          (f" actions={node.actions()}" if node.actions() else ""))
    if depth < deepest:
        for child in node.children():
            dump(child, depth + 1, deepest)
