#!/usr/bin/python3
"""Every source file is named in a CMakeLists.txt, and none is globbed."""

import os
import re

import shared

# Functions of ours that make a file's name of their first word.
MAKERS = (
    (r"\bpr_(?:unit|spool)_test\(\s*([\w-]+)", "test_{}.c"),
    (r"\bpr_fuzz_target\(\s*([\w-]+)", "fuzz_{}.c"),
)


def named_in(path, text):
    """Paths from the root that a CMakeLists.txt names."""
    text = re.sub(r"#[^\n]*", "", text)
    folder = os.path.dirname(path)
    words = re.findall(r"[\w./${}+-]+\.c\b", text)
    for pattern, name in MAKERS:
        words += [name.format(word) for word in re.findall(pattern, text)]
    for word in words:
        word = re.sub(r"^\$\{(PROJECT|CMAKE)_SOURCE_DIR\}/", "/", word)
        word = re.sub(r"^\$\{CMAKE_CURRENT_(SOURCE|LIST)_DIR\}/", "", word)
        if word.startswith("/"):
            yield os.path.normpath(word[1:])
        else:
            yield os.path.normpath(os.path.join(folder, word))


def main():
    root = shared.arguments(__doc__).root
    problems = []
    named = set()
    for path in shared.walk(root, ("CMakeLists.txt", ".cmake")):
        text = shared.read(root, path)
        named.update(named_in(path, text))
        if re.search(r"\bfile\s*\(\s*GLOB[^)]*\.[ch]\b", text, re.IGNORECASE):
            problems.append(f"{path}: sources are listed by name, no GLOB")
    files = [p for p in shared.c_files(root) if p.endswith(".c")]
    problems += [f"{path}: is named in no CMakeLists.txt"
                 for path in files if path not in named]
    shared.finish("sources", problems, len(files))


main()
