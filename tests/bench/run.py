#!/usr/bin/env python3
"""Runs a benchmark and its peer and joins what they print: run.py PROGRAM PEER_SCRIPT.

The program prints one JSON object a line with `bench`, `case`, `unit` and `ours`; the peer script the same cases with
`bench`, `case`, `peer` (a name) and `peer_value`. Both run here one after the other, on the same machine. Prints JSON
lines `bench case unit ours peer peer_value ratio`, ratio > 1: we are better. Units that count work a time ("/s") are
better when larger, all others (s, ms, bytes) when smaller. A line that already has a ratio is passed on.
A peer that is not installed exits with 77 and says so on standard error; then ratio is null. So does a program that
lacks something here, and that is the end. PROGRAM may be a file of the lines instead, not executable. The peer script
finds the program's path in BENCH_PROGRAM; its lines that have a ratio are passed on too. $BENCH_PEER_SECONDS: the peer
is ended then; what it printed counts.
"""
import json
import os
import subprocess
import sys


NOT_HERE = 77


def parse(text):
    """Whole lines; a program that was ended may leave half a one."""
    return [json.loads(line) for line in text.rpartition("\n")[0].splitlines() if line.startswith("{")]


def lines_of(command, seconds=None):
    """What it printed, and its exit status: 0 where it was ended by the clock."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=seconds)
        text, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        text, status = late.stdout or b"", 0
        print(f"{command[-1]}: ended after {seconds:.0f} s", file=sys.stderr)
    if status not in (0, NOT_HERE):
        print(f"{' '.join(command)} failed with status {status}", file=sys.stderr)
    return parse(text.decode(errors="replace")), status


def main():
    program, peer_script = sys.argv[1:3]
    os.environ["BENCH_PROGRAM"] = os.path.abspath(program)
    seconds = float(os.environ.get("BENCH_PEER_SECONDS", 0)) or None
    if os.access(program, os.X_OK):
        ours, status = lines_of([program])
        if status != 0:
            sys.exit(status)
    else:
        with open(program, encoding="utf-8") as file:
            ours = parse(file.read())
    status = 0
    peers = {}
    if os.path.exists(peer_script):
        lines, status = lines_of([sys.executable, peer_script], seconds)
        for line in lines:
            if "ratio" in line:
                print(json.dumps(line))
            else:
                peers.setdefault((line["bench"], line["case"]), []).append(line)
    for line in ours:
        if "ratio" in line:
            print(json.dumps(line))
            continue
        for peer in peers.get((line["bench"], line["case"]), [{"peer": None, "peer_value": None}]):
            value, ratio = peer["peer_value"], None
            if value and line["ours"]:
                ratio = round(line["ours"] / value if "/s" in line["unit"] else value / line["ours"], 4)
            print(json.dumps({**line, "peer": peer["peer"], "peer_value": value, "ratio": ratio}))
    sys.exit(0 if status == NOT_HERE else status)


main()
