"""What the lint scripts share: finding files and reading C."""

import argparse
import os
import re
import sys

C_FILES = (".c", ".h")
OUR_FOLDERS = ("core", "config", "message", "queue", "smtp", "producer",
               "consumer", "app", "tests")


def arguments(description, more=()):
    """--root and what else a script wants, each (name, help)."""
    parser = argparse.ArgumentParser(description=description)
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    for name, text in more:
        parser.add_argument(name, required=True, help=text)
    found = parser.parse_args()
    found.root = os.path.realpath(found.root)
    return found


def finish(name, problems, looked_at):
    """Prints what was found and ends the script."""
    for problem in problems:
        print(problem)
    print(f"{name}: {looked_at} files, {len(problems)} problems")
    if looked_at == 0:
        print(f"{name}: nothing to look at: is --root right?")
    sys.exit(1 if problems or looked_at == 0 else 0)


def walk(root, endings=None):
    """Paths below root, sorted, without hidden and build folders."""
    paths = []
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".")
                      and not re.fullmatch(r"build([-_].*)?|__pycache__", f)]
        for name in files:
            if endings is None or name.endswith(tuple(endings)):
                paths.append(os.path.relpath(os.path.join(folder, name), root))
    return sorted(paths)


def c_files(root):
    """C files of our folders."""
    return [p for p in walk(root, C_FILES) if p.split(os.sep)[0] in OUR_FOLDERS]


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8",
              errors="surrogateescape", newline="") as file:
        return file.read()


TOKENS = re.compile(
    r"""(?P<block>/\*.*?(?:\*/|\Z))
      | (?P<line>//(?:\\\n|[^\n])*)
      | (?P<string>"(?:\\.|[^"\\\n])*(?:"|$))
      | (?P<char>'(?:\\.|[^'\\\n])*(?:'|$))""",
    re.VERBOSE | re.DOTALL | re.MULTILINE)


def blank(text):
    """The same text with comments, strings and characters as blanks. Also
    the offsets of // comments."""
    slashes = []

    def replace(match):
        if match.lastgroup == "line":
            slashes.append(match.start())
        kept = re.sub(r"[^\n]", " ", match.group())
        if match.lastgroup in ("string", "char") and len(kept) > 1:
            quote = match.group()[0]
            kept = quote + kept[1:-1] + quote
        return kept

    return TOKENS.sub(replace, text), slashes


def blank_directives(text):
    """Text of blank() with preprocessor lines as blanks too."""
    return re.sub(r"^[ \t]*#(?:\\\n|[^\n])*",
                  lambda m: re.sub(r"[^\n]", " ", m.group()), text,
                  flags=re.MULTILINE)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def functions(text):
    """(name, first line, last line) of each function defined in C text."""
    code = blank_directives(blank(text)[0])
    found = []
    depth = 0
    start = 0        # of what stands before the next brace at depth 0
    head = None      # of the function that is open
    for match in re.finditer(r"[{};]", code):
        at = match.start()
        if match.group() == "{":
            if depth == 0:
                before = code[start:at]
                head = None
                if before.rstrip().endswith(")") and "=" not in before:
                    head = before
            depth += 1
            continue
        if match.group() == "}":
            depth -= 1
            if depth == 0 and head is not None:
                first = start + len(head) - len(head.lstrip())
                name = re.search(r"(\w+)\s*\(", head)
                found.append((name.group(1) if name else "?",
                              line_of(code, first), line_of(code, at)))
                head = None
        if depth == 0:
            start = at + 1
    return found


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]',
                     re.MULTILINE)


def includes(text):
    """(line, is_ours, name) of each include; commented ones are left out."""
    code, _ = blank(text)
    found = []
    for match in INCLUDE.finditer(text):
        line_start = match.start()
        if "#" not in code[line_start:match.end()]:
            continue
        found.append((line_of(text, match.start(2)), match.group(1) == '"',
                      match.group(2)))
    return found
