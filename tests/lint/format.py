#!/usr/bin/python3
"""Every C file is as clang-format writes it."""

import os
import subprocess

import shared


def main():
    root = shared.arguments(__doc__).root
    files = shared.c_files(root)
    problems = []
    if files:
        result = subprocess.run(
            ["clang-format", "--dry-run", "-Werror", "--ferror-limit=1"]
            + [os.path.join(root, path) for path in files],
            capture_output=True, text=True, check=False)
        problems = [line for line in result.stderr.split("\n")
                    if "error:" in line]
        if result.returncode != 0 and not problems:
            problems = [result.stderr]
    shared.finish("format", problems, len(files))


main()
