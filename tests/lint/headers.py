#!/usr/bin/python3
"""Every header of ours compiles alone, with its folder's flags."""

import concurrent.futures
import json
import os
import shlex
import subprocess

import shared


def flags_by_folder(build):
    """For each folder the compiler and flags of one of its sources."""
    found = {}
    with open(os.path.join(build, "compile_commands.json"),
              encoding="utf-8") as file:
        commands = json.load(file)
    for entry in commands:
        words = shlex.split(entry["command"])
        flags = []
        skip = False
        for word in words:
            if skip or word in ("-c", "-MD", entry["file"]):
                skip = False
            elif word in ("-o", "-MF", "-MT"):
                skip = True
            else:
                flags.append(word)
        found.setdefault(os.path.dirname(entry["file"]), flags)
    return found


def flags_for(root, header, known):
    """Those of the nearest folder upwards, else of core/."""
    folder = os.path.dirname(os.path.join(root, header))
    while len(folder) >= len(root):
        if folder in known:
            return known[folder]
        folder = os.path.dirname(folder)
    return known[os.path.join(root, "core")]


def compile_alone(root, header, flags):
    """None, or what the compiler said."""
    result = subprocess.run(
        flags + ["-fsyntax-only", "-x", "c", "-"], cwd=root, text=True,
        input=f'#include "{header}"\n', capture_output=True, check=False)
    if result.returncode == 0:
        return None
    return f"{header}: does not compile alone\n{result.stderr}"


def main():
    found = shared.arguments(__doc__, [("--build", "build directory")])
    known = flags_by_folder(found.build)
    headers = [p for p in shared.c_files(found.root) if p.endswith(".h")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = list(pool.map(
            lambda h: compile_alone(found.root, h,
                                    flags_for(found.root, h, known)), headers))
    shared.finish("headers", [p for p in problems if p], len(headers))


main()
