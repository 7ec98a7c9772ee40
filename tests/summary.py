#!/usr/bin/env python3
"""Counts single test cases after `meson test`: summary.py LOGS STATUS.

LOGS is the build folder's meson-logs, STATUS what `meson test` returned. Prints why cases were skipped, which failed,
and last the line `N passed, N failed, N skipped`. Exit status 0 only when something passed and nothing failed.

meson counts programs, and its JUnit file says nothing of a program that crashed or timed out after its last case; so
each program's own result (testlog.json) is looked at too.
"""
import json
import os
import sys
import xml.etree.ElementTree as ElementTree

GOOD = {"OK", "EXPECTEDFAIL", "SKIP"}


def cases_of(logs):
    """{program: [(case, 'passed' | 'failed' | 'skipped', reason)]} of the programs that report single cases; a program
    is called as in testlog.json, a suite of the JUnit file PROJECT.PROGRAM."""
    programs = {}
    for suite in ElementTree.parse(os.path.join(logs, "testlog.junit.xml")).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            if case.get("classname") != suite.get("name") or "." not in suite.get("name"):
                continue  # a program that is a single case: taken from testlog.json
            if case.find("failure") is not None or case.find("error") is not None:
                result = "failed"
            elif case.find("skipped") is not None:
                result = "skipped"
            else:
                result = "passed"
            reason = (case.findtext("system-out") or "").strip()
            programs.setdefault(suite.get("name").split(".", 1)[1], []).append((case.get("name").split(" ", 1)[-1], result, reason))
    return programs


def main():
    logs, status = sys.argv[1], int(sys.argv[2])
    count = {"passed": 0, "failed": 0, "skipped": 0}
    skipped, failed = {}, []
    try:
        programs = cases_of(logs)
        with open(os.path.join(logs, "testlog.json"), encoding="utf-8", errors="replace") as lines:
            results = [json.loads(line) for line in lines]
    except (OSError, ElementTree.ParseError, ValueError) as error:
        print(f"no test results: {error}")
        programs, results = {}, []
    for program in results:
        name, result = program["name"].split(" / ")[-1], program["result"]
        cases = programs.get(program["name"], [])
        if not cases:
            kind = "skipped" if result == "SKIP" else "passed" if result in GOOD else "failed"
            cases = [(f"({result})" if kind == "failed" else "", kind, "the program skipped itself")]
        elif result not in GOOD and all(kind != "failed" for _, kind, _ in cases):
            cases = cases + [(f"(the program ended badly after its last case: {result})", "failed", "")]
        for case, kind, reason in cases:
            count[kind] += 1
            if kind == "skipped":
                skipped.setdefault(reason or "no reason given", []).append(f"{name} {case}".strip())
            elif kind == "failed":
                failed.append(f"{name} {case}".strip())
    for reason, names in skipped.items():
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        print(f"skipped: {shown}: {reason}")
    for name in failed:
        print(f"failed: {name}")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    sys.exit(0 if status == 0 and count["failed"] == 0 and count["passed"] > 0 else 1)


main()
