#!/usr/bin/env python3
"""Runs a benchmark and its peer and joins what they print: run.py PROGRAM PEER_SCRIPT.

The program prints one JSON object a line with `bench`, `case`, `unit` and `ours`; the peer script the same cases with
`bench`, `case`, `peer` (a name) and `peer_value`. Both run here one after the other, on the same machine. Prints JSON
lines `bench case unit ours peer peer_value ratio`, ratio > 1: we are better. Units that count work a time ("/s") are
better when larger, all others (s, ms, bytes) when smaller. A line that already has a ratio is passed on.
A peer that is not installed exits with 77 and says so on standard error; then ratio is null. The peer script finds the
program's path in BENCH_PROGRAM; its lines that have a ratio are passed on too.
"""
import json
import os
import subprocess
import sys


def lines_of(command, may_miss):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 77 and may_miss:
        return []
    if done.returncode != 0:
        sys.exit(f"dev: {' '.join(command)} failed with status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main():
    program, peer_script = sys.argv[1:3]
    os.environ["BENCH_PROGRAM"] = os.path.abspath(program)
    ours = lines_of([program], False)
    peers = {}
    if os.path.exists(peer_script):
        for line in lines_of([sys.executable, peer_script], True):
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


main()
