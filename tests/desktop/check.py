#!/usr/bin/env python3
"""Checks what a desktop reads from us, with the desktop's own tools: check.py SOURCE BUILD MESON. Prints TAP.

Desktop file, AppStream metainfo, settings schema, interface descriptions, translations, and what `meson install` puts
where. A tool that is not there makes its case skipped, saying so.
"""
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE, BUILD, MESON = (os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3])
APP = "org.tessera.Tessera"


class Skip(Exception):
    """Why a case cannot be run here."""


def need(*tools):
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        raise Skip("not installed: " + ", ".join(missing))


def run(*command, **options):
    """The command's output; a failure carries it."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    assert done.returncode == 0, f"{shlex.join(command)}: exit status {done.returncode}\n{done.stdout}"
    return done.stdout


def source(*names):
    return os.path.join(SOURCE, *names)


def below(folder, *endings):
    for parent, _, names in os.walk(source(folder)):
        for name in names:
            if name.endswith(endings):
                yield os.path.relpath(os.path.join(parent, name), SOURCE)


def desktop_file():
    need("desktop-file-validate")
    said = run("desktop-file-validate", os.path.join(BUILD, "data", APP + ".desktop"))
    assert not said.strip(), said


def metainfo():
    need("appstreamcli")
    run("appstreamcli", "validate", "--no-net", os.path.join(BUILD, "data", APP + ".metainfo.xml"))


def media_types():
    need("update-mime-database")
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "packages"))
        shutil.copy(source("data", APP + ".mime.xml"), os.path.join(folder, "packages"))
        run("update-mime-database", folder)
        with open(os.path.join(folder, "globs2"), encoding="utf-8") as file:
            globs = file.read()
    for ending in ("nii", "nii.gz"):
        assert f":application/x-nifti:*.{ending}\n" in globs, globs


def schema():
    need("glib-compile-schemas")
    run("glib-compile-schemas", "--strict", "--dry-run", source("data"))


def well_formed():
    need("xmllint")
    files = [*below("ui", ".ui"), *below("src/app", ".gresource.xml"), *below("data", ".xml", ".xml.in", ".svg")]
    assert len(files) > 10, files
    run("xmllint", "--noout", "--nonet", *files, cwd=SOURCE)


def resources():
    """Every interface description and icon is in the program."""
    with open(source("src/app/tessera.gresource.xml"), encoding="utf-8") as file:
        listed = set(re.findall(r"<file[^>]*>([^<]*)</file>", file.read()))
    there = set(below("ui", ".ui", ".css")) | {os.path.relpath(icon, "data") for icon in below("data", ".svg")}
    assert listed == there, f"only listed: {listed - there}; only there: {there - listed}"


def languages():
    with open(source("po/LINGUAS"), encoding="utf-8") as file:
        return re.findall(r"^\w+", file.read(), re.MULTILINE)


def translations():
    need("msgfmt")
    there = {os.path.basename(name)[:-3] for name in glob.glob(source("po", "*.po"))}
    assert there == set(languages()), f"po/LINGUAS names {languages()}, there are {sorted(there)}"
    for language in languages():
        run("msgfmt", "--check", "-o", os.devnull, source("po", language + ".po"))


def start(program, folder, environment):
    """Starts a program on a display of its own until everything is drawn."""
    display = os.path.join(folder, "display")
    with open(display, "wb") as number:
        server = subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
                                  stdout=number, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            if os.path.getsize(display) or server.poll() is not None:
                break
            time.sleep(0.1)
        if server.poll() is not None:
            raise Skip("Xvfb does not start")
        with open(display, encoding="ascii") as file:
            environment["DISPLAY"] = ":" + file.read().strip()
        return run("dbus-run-session", "--", program, "--exit-after-startup", env=environment, timeout=100)
    finally:
        server.kill()
        server.wait()


def options():
    said = run(*shlex.split(MESON), "introspect", "--buildoptions", BUILD)
    return {name: re.search(r'"name": "%s", "value": "([^"]*)"' % name, said).group(1)
            for name in ("prefix", "bindir", "datadir", "localedir")}


def installed():
    """`meson install` puts everything in its place, and the program starts from there."""
    where = options()
    with tempfile.TemporaryDirectory() as folder:
        run(*shlex.split(MESON), "install", "-C", BUILD, "--no-rebuild", "--destdir", folder)

        def place(kind, *names):
            return os.path.join(folder, os.path.join(where["prefix"], where[kind], *names).lstrip("/"))

        expected = [place("bindir", "tessera"), place("bindir", "tessera-cli"),
                    place("datadir", "applications", APP + ".desktop"), place("datadir", "metainfo", APP + ".metainfo.xml"),
                    place("datadir", "icons/hicolor/scalable/apps", APP + ".svg"),
                    place("datadir", "icons/hicolor/symbolic/apps", APP + "-symbolic.svg"),
                    place("datadir", "mime/packages", APP + ".mime.xml"),
                    place("datadir", "glib-2.0/schemas", APP + ".gschema.xml")]
        expected += [place("localedir", language, "LC_MESSAGES/tessera.mo") for language in languages()]
        for path in expected:
            assert os.path.isfile(path), f"{path[len(folder):]} was not installed"

        need("Xvfb", "dbus-run-session", "glib-compile-schemas")
        run("glib-compile-schemas", "--strict", place("datadir", "glib-2.0/schemas"))
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("TESSERA_", "GSETTINGS_", "GTK_", "WAYLAND_", "XDG_", "DBUS_"))}
        for name in ("config", "data", "cache", "state", "runtime"):
            os.mkdir(os.path.join(folder, "home-" + name), 0o700)
        environment.update(
            HOME=folder, XDG_CONFIG_HOME=folder + "/home-config", XDG_DATA_HOME=folder + "/home-data",
            XDG_CACHE_HOME=folder + "/home-cache", XDG_STATE_HOME=folder + "/home-state",
            XDG_RUNTIME_DIR=folder + "/home-runtime", XDG_DATA_DIRS=place("datadir") + ":/usr/local/share:/usr/share",
            G_DEBUG="fatal-criticals", GSETTINGS_BACKEND="keyfile", GDK_BACKEND="x11", NO_AT_BRIDGE="1", GTK_A11Y="none")
        start(expected[0], folder, environment)
        # It found its schema: what it remembers at its end is in the user's file.
        with open(folder + "/home-config/glib-2.0/settings/keyfile", encoding="utf-8") as file:
            assert "window-maximized" in file.read()


CASES = [
    ("desktop file", desktop_file), ("metainfo", metainfo), ("media types", media_types), ("settings schema", schema),
    ("XML is well-formed", well_formed), ("resources are whole", resources), ("translations", translations),
    ("installed", installed),
]


def main():
    print(f"1..{len(CASES)}", flush=True)
    failed = 0
    for i, (name, case) in enumerate(CASES, 1):
        try:
            case()
            print(f"ok {i} - {name}", flush=True)
        except Skip as why:
            print(f"ok {i} - {name} # SKIP {why}", flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print("\n".join("# " + line for line in str(error).splitlines()))
            print(f"not ok {i} - {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
