#!/usr/bin/python3
"""Calls and ways of writing that the project does without (STYLE)."""

import re

import shared

CALLS = {
    "strcpy": "a struct buf or snprintf",
    "strcat": "a struct buf or snprintf",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "fgets",
    "strtok": "str_find",
    "atoi": "str_to_u64",
    "atol": "str_to_u64",
    "atoll": "str_to_u64",
    "atof": "strtod with its end checked",
    "alloca": "mem_alloc",
    "rand": "random_next",
    "srand": "random_init",
    "rand_r": "random_next",
    "sleep": "a wait for what is to happen, with a deadline",
    "usleep": "a wait for what is to happen, with a deadline",
    "nanosleep": "a wait for what is to happen, with a deadline",
    "system": "fork and exec",
    "popen": "fork and exec",
    "localtime": "localtime_r",
    "gmtime": "gmtime_r",
    "signal": "sigaction",
}

WAYS = (
    (re.compile(r"\bextern\b"), "extern: declare it in a header, no data"),
    (re.compile(r"\btypedef\s+(?:struct|union|enum)\b"),
     "no typedef of a struct, union or enum"),
)

# Not a member (x.system, x->system) and not a declaration of one.
CALL = re.compile(r"(?<![\w.])(?<!->)(" + "|".join(CALLS) + r")\s*\(")

COLUMNS = 80


def check(path, text):
    code, slashes = shared.blank(text)
    for match in CALL.finditer(code):
        name = match.group(1)
        yield (f"{path}:{shared.line_of(code, match.start())}: {name}() is "
               f"banned: use {CALLS[name]}")
    for pattern, why in WAYS:
        for match in pattern.finditer(code):
            yield f"{path}:{shared.line_of(code, match.start())}: {why}"
    for offset in slashes:
        yield f"{path}:{shared.line_of(text, offset)}: write /* */, not //"
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > COLUMNS:
            yield f"{path}:{number}: {len(line)} columns, at most {COLUMNS}"


def main():
    root = shared.arguments(__doc__).root
    problems = []
    files = shared.c_files(root)
    for path in files:
        problems.extend(check(path, shared.read(root, path)))
    shared.finish("banned", problems, len(files))


main()
