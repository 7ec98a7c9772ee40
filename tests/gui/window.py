"""Drives the real window as a screen reader would, over the accessibility bus, and with a hand's keys and mouse.

The accessibility bus is spoken to directly: GTK tells all accessibles it knows in one answer (org.a11y.atspi.Cache),
where asking each for its children, name and role takes thousands of calls.
"""
import os
import signal
import subprocess
import time

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

import screen  # noqa: E402

STATES = {"CHECKED": 4, "EXPANDED": 10, "FOCUSED": 12, "PRESSED": 20, "SENSITIVE": 24, "SHOWING": 25, "VISIBLE": 30}
ROLES = {7: "check box", 8: "check menu item", 11: "combo box", 16: "dialog", 19: "file chooser", 20: "filler",
         23: "frame", 27: "image", 29: "label", 31: "list", 32: "list item", 33: "menu", 35: "menu item", 39: "panel",
         42: "progress bar", 43: "push button", 44: "radio button", 45: "radio menu item", 48: "scroll bar",
         49: "scroll pane", 50: "separator", 51: "slider", 52: "spin button", 55: "table", 56: "table cell",
         57: "column header", 60: "terminal", 61: "text", 62: "toggle button", 66: "tree table", 69: "window",
         75: "application", 79: "entry", 83: "heading", 88: "link", 90: "table row", 98: "list box", 99: "grouping",
         101: "notification"}
PREFIX = "org.a11y.atspi."
BORDER = 5  # of a window without a manager


class Failed(Exception):
    """What a step expected and did not find."""


def plain(name):
    """A button with a mnemonic is called "_Open Open" by GTK 4.8, a row's spin button "Width Width"."""
    half = len(name) // 2
    for at in (half, half + 1):
        if name[at:at + 1] == " " and name[:at].replace("_", "") == name[at + 1:]:
            return name[at + 1:]
    return name


def wait_for(what, describe, seconds=30.0):
    """The first true value of what(); says what was waited for when it does not come."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:g} s for {describe() if callable(describe) else describe}")
        time.sleep(0.05)


class Bus:
    """The accessibility bus, and the program's name on it."""

    def __init__(self):
        session = Gio.bus_get_sync(Gio.BusType.SESSION)
        address = session.call_sync("org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus", "GetAddress", None, None,
                                    Gio.DBusCallFlags.NONE, -1, None).unpack()[0]
        self.connection = Gio.DBusConnection.new_for_address_sync(
            address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION,
            None, None)
        self.apps()  # starts the registry, at which programs announce themselves

    def call(self, owner, path, interface, method, signature=None, *args):
        """None when whom we ask is gone or does not know."""
        try:
            return self.connection.call_sync(owner, path, interface, method,
                                             GLib.Variant(signature, args) if signature else None, None,
                                             Gio.DBusCallFlags.NONE, 20000, None).unpack()
        except GLib.Error:
            return None

    def apps(self):
        answer = self.call("org.a11y.atspi.Registry", "/org/a11y/atspi/accessible/root", PREFIX + "Accessible",
                           "GetChildren")
        return answer[0] if answer else []

    def pid(self, owner):
        answer = self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                           "GetConnectionUnixProcessID", "(s)", owner)
        return answer[0] if answer else None


class Node:
    """One accessible, as it was when it was found; what changes (value, place) is asked for each time."""

    def __init__(self, window, item):
        (self.owner, self.path), _, (_, self.parent_path), self.index, self.n_children, self.interfaces, name, role, \
            self.description, states = item
        self.window = window
        self.name = plain(name)
        self.role = ROLES.get(role, str(role))
        self.states = states[0]

    def call(self, interface, method, signature=None, *args):
        return self.window.bus.call(self.owner, self.path, PREFIX + interface, method, signature, *args)

    def _property(self, interface, name):
        if PREFIX + interface not in self.interfaces:
            return None
        answer = self.window.bus.call(self.owner, self.path, "org.freedesktop.DBus.Properties", "Get", "(ss)",
                                      PREFIX + interface, name)
        return answer[0] if answer else None

    @property
    def text(self):
        """What is written in it."""
        answer = self.call("Text", "GetText", "(ii)", 0, -1)
        return answer[0] if answer else ""

    @property
    def value(self):
        return self._property("Value", "CurrentValue")

    def now(self):
        """The same accessible with today's name, description and states; None when it is gone."""
        self.window.alive()
        told = self.window.bus.call(self.owner, self.path, "org.freedesktop.DBus.Properties", "GetAll", "(s)",
                                    PREFIX + "Accessible")
        states = self.call("Accessible", "GetState")
        if not told or not states:
            return None
        self.name, self.description = plain(told[0].get("Name", "")), told[0].get("Description", "")
        self.states = states[0][0]
        return self

    def has(self, state):
        return bool(self.states >> STATES[state] & 1)

    def actions(self):
        if PREFIX + "Action" not in self.interfaces:
            return []
        answer = self.call("Action", "GetActions")
        return [name for name, _, _ in answer[0]] if answer else []

    def press(self, action=None):
        """A button's click, or an action of the window by its name ("win.save-labels")."""
        def attempt():
            names = self.actions()
            index = names.index(action) if action in names else 0 if names and not action else None
            return index is not None and self.call("Action", "DoAction", "(i)", index)
        wait_for(attempt, lambda: f"{self!r} to take \"{action or 'a click'}\"; it takes {self.actions()}", 10.0)

    def set_value(self, value):
        answer = self.window.bus.call(self.owner, self.path, "org.freedesktop.DBus.Properties", "Set", "(ssv)",
                                      PREFIX + "Value", "CurrentValue", GLib.Variant("d", value))
        if answer is None:
            raise Failed(f"{self!r} takes no value")

    def write(self, text):
        if not self.call("EditableText", "SetTextContents", "(s)", text):
            raise Failed(f"{self!r} takes no text")

    def box(self):
        """x, y, width, height on the screen. Our windows lie in its corner, as nobody manages them; what GTK tells
        begins inside their border."""
        answer = self.call("Component", "GetExtents", "(u)", 1)
        x, y, width, height = answer[0] if answer else (0, 0, 0, 0)
        return x + BORDER, y + BORDER, width, height

    def centre(self):
        x, y, width, height = self.box()
        return x + width // 2, y + height // 2

    def __repr__(self):
        return f"<{self.role} \"{self.name}\">"


class Window:
    """The program: started, looked at, and ended."""

    def __init__(self, *args, environment=None, stderr=None):
        self.bus = Bus()
        self.asked = {}
        self.process = subprocess.Popen([os.environ["TESSERA_PROGRAM"], *args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=stderr,
                                        env={**os.environ, **(environment or {})})
        self.owner = None
        wait_for(lambda: self.nodes(), "the window on the accessibility bus", 60.0)

    def alive(self):
        status = self.process.poll()
        if status is not None:
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            raise Failed(f"the program {how}")

    def send(self, *args):
        """Starts the program once more: it hands its arguments to this window, and leaves."""
        subprocess.run([os.environ["TESSERA_PROGRAM"], *args], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=60)

    def _items(self):
        answer = self.bus.call(self.owner, "/org/a11y/atspi/cache", PREFIX + "Cache", "GetItems")
        return answer[0] if answer else []

    def nodes(self):
        """All accessibles. GTK 4.8 tells of those on hidden pages too, and does not tell which they are."""
        self.alive()
        if not self.owner:
            self.owner = next((owner for owner, _ in self.bus.apps() if self.bus.pid(owner) == self.process.pid), None)
            if not self.owner:
                return []
        for _ in range(64):  # children are known once somebody has asked for them
            items = self._items()
            known = {}
            for item in items:
                known[item[2][1]] = known.get(item[2][1], 0) + 1
            ask = []
            for item in items:
                path, there = item[0][1], known.get(item[0][1], 0)
                if there >= item[4]:
                    self.asked.pop(path, None)
                elif self.asked.get(path) != (item[4], there):
                    self.asked[path] = (item[4], there)
                    ask.append(path)
            if not ask:
                break
            for path in ask:
                self.bus.call(self.owner, path, PREFIX + "Accessible", "GetChildren")
        return self._in_order([Node(self, item) for item in items])

    @staticmethod
    def _in_order(nodes):
        """From top to bottom: parents before children, children as they follow each other."""
        under, paths = {}, {n.path for n in nodes}
        for node in nodes:
            under.setdefault(node.parent_path if node.parent_path in paths else "", []).append(node)
        for children in under.values():
            children.sort(key=lambda n: n.index)
        order, stack = [], under.get("", [])[::-1]
        while stack:
            node = stack.pop()
            order.append(node)
            stack += under.get(node.path, [])[::-1]
        return order

    def all(self, role=None, name=None, under=None):
        """Accessibles of this role whose name is (or fits, where it is a function) what is asked for."""
        nodes = self.nodes()
        parents = {n.path: n.parent_path for n in nodes}

        def inside(node):
            path = node.path
            while path and path != under.path:
                path = parents.get(path)
            return bool(path)
        return [n for n in nodes if (not role or n.role == role) and
                (name is None or (name(n.name) if callable(name) else n.name == name)) and (not under or inside(n))]

    def find(self, role=None, name=None, under=None, seconds=30.0):
        def describe():
            seen = sorted({f"{n.role} \"{n.name}\"" for n in self.all(role, None, under) if n.name})
            return f"{role or 'something'} \"{'...' if callable(name) else name}\"; there are: " + "; ".join(seen)
        return wait_for(lambda: next(iter(self.all(role, name, under)), None), describe, seconds)

    def reach(self, node, pane=None):
        """Turns the wheel over the page (or a pane of it) until the node can be clicked; its middle on the screen."""
        _, _, width, height = (pane or self.find("frame")).box()
        x0, y0 = pane.centre() if pane else (20, height // 2)  # at the edge nothing else takes the wheel
        for _ in range(80):
            x, y = node.centre()
            if node.box()[2] > 0 and 110 < y < self.find("frame").box()[3] - 40:
                return x, y
            hands("mousemove", x0, y0, "click", 5 if y > y0 else 4)
            settled()
        raise Failed(f"{node!r} cannot be reached with the wheel; it is at {node.box()}")

    def click(self, node, *xdotool):
        """With the mouse, in its middle."""
        x, y = node.centre()
        hands("mousemove", x, y, *(xdotool or ("click", 1)))

    def memory(self):
        """Resident, in bytes."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self):
        """Ends the program; a negative status is the signal that did it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def hands(*words):
    """xdotool, finished when it returns."""
    subprocess.run(["xdotool", *map(str, words)], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=60)


def settled(box=None, seconds=20.0):
    """The pixels of a box once two looks 0.15 s apart show the same."""
    last = [screen.grab(box)]

    def still():
        time.sleep(0.15)
        now = screen.grab(box)
        same = now == last[0]
        last[0] = now
        return same
    wait_for(still, "the picture to come to rest", seconds)
    return last[0]


def dump(window):
    """For writing tests: the tree as text."""
    nodes = window.nodes()
    under = {}
    for n in nodes:
        under.setdefault(n.parent_path, []).append(n)

    def show(n, depth):
        states = " ".join(s.lower() for s in STATES if n.has(s))
        print("  " * depth + f"{n.role} \"{n.name}\" [{states}] {n.box()}" +
              (f" desc=\"{n.description}\"" if n.description else "") +
              (f" value={n.value}" if n.value is not None else ""))
        for child in sorted(under.get(n.path, []), key=lambda c: c.index):
            show(child, depth + 1)
    for n in nodes:
        if n.role == "application":
            show(n, 0)
