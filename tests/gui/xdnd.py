"""Drops files on the window under a point, as a file manager does: the source's side of the X drag-and-drop protocol
(XDND 5, https://freedesktop.org/wiki/Specifications/XDND), with Xlib alone."""
import ctypes
import ctypes.util
import pathlib
import select
import time

CLIENT_MESSAGE, SELECTION_REQUEST, SELECTION_NOTIFY = 33, 30, 31
Event = ctypes.c_long * 24  # an XEvent; every field of those used here begins at a long

_x = None


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def _ignore(_display, _error):
    """The window we talk to may close at any moment."""
    return 0


def _xlib():
    global _x
    if not _x:
        _x = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
        _x.XOpenDisplay.restype = ctypes.c_void_p
        for name in ("XDefaultRootWindow", "XInternAtom", "XCreateSimpleWindow"):
            getattr(_x, name).restype = ctypes.c_ulong
        _x.XSetErrorHandler(_ignore)
    return _x


class _Source:
    def __init__(self, uris):
        self.x = _xlib()
        self.display = ctypes.c_void_p(self.x.XOpenDisplay(None))
        if not self.display:
            raise OSError("no display")
        self.root = self.x.XDefaultRootWindow(self.display)
        self.window = self.x.XCreateSimpleWindow(self.display, ctypes.c_ulong(self.root), -10, -10, 1, 1, 0,
                                                 ctypes.c_ulong(0), ctypes.c_ulong(0))
        self.data = "".join(uri + "\r\n" for uri in uris).encode()
        self.list = self.atom("text/uri-list")
        self.x.XSetSelectionOwner(self.display, ctypes.c_ulong(self.atom("XdndSelection")), ctypes.c_ulong(self.window),
                                  ctypes.c_ulong(0))

    def atom(self, name):
        return self.x.XInternAtom(self.display, name.encode(), 0)

    def under(self, x, y):
        """The window at a point that takes drops."""
        window, found, child = self.root, 0, ctypes.c_ulong(0)
        while window:
            a, b = ctypes.c_int(), ctypes.c_int()
            self.x.XTranslateCoordinates(self.display, ctypes.c_ulong(self.root), ctypes.c_ulong(window), x, y,
                                         ctypes.byref(a), ctypes.byref(b), ctypes.byref(child))
            window = child.value
            if window and self.is_aware(window):
                found = window
        return found

    def is_aware(self, window):
        kind, format_, n, left = ctypes.c_ulong(), ctypes.c_int(), ctypes.c_ulong(), ctypes.c_ulong()
        data = ctypes.c_void_p()
        self.x.XGetWindowProperty(self.display, ctypes.c_ulong(window), ctypes.c_ulong(self.atom("XdndAware")),
                                  ctypes.c_long(0), ctypes.c_long(1), 0, ctypes.c_ulong(0), ctypes.byref(kind),
                                  ctypes.byref(format_), ctypes.byref(n), ctypes.byref(left), ctypes.byref(data))
        if data:
            self.x.XFree(data)
        return kind.value != 0

    def tell(self, target, what, *data):
        event = Event()
        event[0], event[4], event[5], event[6] = CLIENT_MESSAGE, target, self.atom(what), 32
        event[7:12] = [self.window, *data, *([0] * (4 - len(data)))]
        self.x.XSendEvent(self.display, ctypes.c_ulong(target), 0, ctypes.c_long(0), ctypes.byref(event))
        self.x.XFlush(self.display)

    def answer(self, event):
        """Hands the names over."""
        requestor, target, place = event[5], event[7], event[8] or event[7]
        if target == self.list:
            self.x.XChangeProperty(self.display, ctypes.c_ulong(requestor), ctypes.c_ulong(place),
                                   ctypes.c_ulong(self.list), 8, 0, self.data, len(self.data))
        elif target == self.atom("TARGETS"):
            atoms = (ctypes.c_ulong * 1)(self.list)
            self.x.XChangeProperty(self.display, ctypes.c_ulong(requestor), ctypes.c_ulong(place), ctypes.c_ulong(4),
                                   32, 0, atoms, 1)
        else:
            place = 0
        reply = Event()
        reply[0] = SELECTION_NOTIFY
        reply[4:9] = [requestor, event[6], target, place, event[9]]
        self.x.XSendEvent(self.display, ctypes.c_ulong(requestor), 0, ctypes.c_long(0), ctypes.byref(reply))
        self.x.XFlush(self.display)

    def wait(self, what, seconds):
        """The next message of this name; requests for the data are answered meanwhile."""
        wanted, end, event = self.atom(what), time.monotonic() + seconds, Event()
        while time.monotonic() < end:
            while self.x.XPending(self.display):
                self.x.XNextEvent(self.display, ctypes.byref(event))
                kind = event[0] & 0xffffffff
                if kind == SELECTION_REQUEST:
                    self.answer(event)
                elif kind == CLIENT_MESSAGE and event[5] == wanted:
                    return list(event[7:12])
            select.select([self.x.XConnectionNumber(self.display)], [], [], 0.05)
        return None

    def close(self):
        self.x.XCloseDisplay(self.display)


def drop(paths, x, y, seconds=20.0):
    """Whether the window at the point took the files."""
    source = _Source([p if "://" in p else pathlib.Path(p).absolute().as_uri() for p in paths])
    try:
        target = source.under(x, y)
        if not target:
            return False
        copy, end, accepted = source.atom("XdndActionCopy"), time.monotonic() + seconds, False
        source.tell(target, "XdndEnter", 5 << 24, source.list)
        while not accepted and time.monotonic() < end:  # the first answer may come before it has looked
            source.tell(target, "XdndPosition", 0, x << 16 | y, 0, copy)
            status = source.wait("XdndStatus", 2.0)
            accepted = bool(status and status[1] & 1)
        if not accepted:
            source.tell(target, "XdndLeave")
            return False
        source.tell(target, "XdndDrop", 0, 0)
        return source.wait("XdndFinished", max(end - time.monotonic(), 1.0)) is not None
    finally:
        source.close()
