#!/usr/bin/python3
"""Files have at most 800 lines, functions at most 80."""

import shared

FILE_LINES = 800
FUNCTION_LINES = 80


def main():
    root = shared.arguments(__doc__).root
    problems = []
    files = shared.c_files(root)
    for path in files:
        text = shared.read(root, path)
        lines = text.count("\n")
        if lines > FILE_LINES:
            problems.append(f"{path}: {lines} lines, at most {FILE_LINES}")
        for name, first, last in shared.functions(text):
            if last - first + 1 > FUNCTION_LINES:
                problems.append(f"{path}:{first}: {name}() has "
                                f"{last - first + 1} lines, at most "
                                f"{FUNCTION_LINES}")
    scripts = shared.walk(root, (".py",))
    for path in scripts:
        lines = shared.read(root, path).count("\n")
        if lines > FILE_LINES:
            problems.append(f"{path}: {lines} lines, at most {FILE_LINES}")
    shared.finish("sizes", problems, len(files) + len(scripts))


main()
