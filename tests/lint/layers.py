#!/usr/bin/python3
"""Each folder includes only what lies below it (DESIGN, section 2)."""

import os
import re

import shared

EVERYTHING = set(shared.OUR_FOLDERS) - {"tests"}

ALLOWED = {
    "core": {"core"},
    "config": {"config", "core"},
    "message": {"message", "core"},
    "queue": {"queue", "core"},
    "smtp": {"smtp", "core"},
    "producer": {"producer", "queue", "message", "core"},
    "consumer": {"consumer", "queue", "smtp", "message", "core"},
    "app": EVERYTHING,
    "app/sink": {"app/sink", "core"},
    "tests": EVERYTHING | {"tests"},
}

# Third-party headers, and the folders that may see them beside the tests.
THIRD_PARTY = (
    (r"curl/", {"smtp"}),
    (r"libconfig\.h", {"config"}),
    (r"yajl/", {"producer", "app"}),
    (r"event2/|event\.h|evutil\.h", {"producer", "consumer", "smtp", "app",
                                     "app/sink"}),
    (r"sqlite3\.h", {"queue"}),
    (r"cmocka\.h|gmime/", set()),
)

# Seen by one file only.
ONE_FILE = ("sqlite3.h",)


def folder_of(path):
    return "app/sink" if path.startswith("app/sink/") else path.split("/")[0]


def check_ours(root, path, line, name):
    folder = folder_of(path)
    target = folder_of(name)
    if "/" not in name or target not in ALLOWED:
        return f'{path}:{line}: "{name}" is not written as "folder/file.h"'
    if not os.path.exists(os.path.join(root, name)):
        return f'{path}:{line}: there is no "{name}"'
    if target in ALLOWED[folder] or (folder in ("app", "tests")
                                     and target == "app/sink"):
        return None
    return (f'{path}:{line}: {folder}/ may not include "{name}", only what is '
            f'in {" ".join(sorted(ALLOWED[folder]))}')


def check_theirs(path, line, name):
    folder = folder_of(path)
    for pattern, allowed in THIRD_PARTY:
        if re.match(pattern, name) and folder not in allowed | {"tests"}:
            return f"{path}:{line}: {folder}/ may not include <{name}>"
    return None


def main():
    root = shared.arguments(__doc__).root
    problems = []
    users = {}
    files = shared.c_files(root)
    for path in files:
        for line, is_ours, name in shared.includes(shared.read(root, path)):
            problems.append(check_ours(root, path, line, name) if is_ours
                            else check_theirs(path, line, name))
            if name in ONE_FILE and folder_of(path) != "tests":
                users.setdefault(name, []).append(path)
    for name, paths in users.items():
        if len(paths) > 1:
            problems.append(f"<{name}> is included by {' '.join(paths)}: one "
                            "file may")
    shared.finish("layers", [p for p in problems if p], len(files))


main()
