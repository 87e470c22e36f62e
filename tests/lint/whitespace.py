#!/usr/bin/python3
"""No blanks at the ends of lines, no CR, no tabs in C, a newline at the end.

Folders called corpus or data hold test input, byte for byte."""

import os
import re

import shared


def check(path, data):
    for number, line in enumerate(data.split(b"\n"), 1):
        if b"\r" in line:
            yield f"{path}:{number}: has a CR"
        elif re.search(rb"[ \t]$", line):
            yield f"{path}:{number}: blanks at the end of the line"
        if b"\t" in line and path.endswith(shared.C_FILES):
            yield f"{path}:{number}: has a tab"
    if data and not data.endswith(b"\n"):
        yield f"{path}: no newline at the end"


def main():
    root = shared.arguments(__doc__).root
    problems = []
    files = [p for p in shared.walk(root)
             if not {"corpus", "data"} & set(p.split(os.sep))]
    for path in files:
        full = os.path.join(root, path)
        if os.path.islink(full):
            continue
        with open(full, "rb") as file:
            data = file.read()
        if b"\0" not in data:
            problems.extend(check(path, data))
    shared.finish("whitespace", problems, len(files))


main()
