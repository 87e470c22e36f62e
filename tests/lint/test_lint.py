#!/usr/bin/python3
"""Each lint script passes a clean tree and fails one with a violation."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")

CLEAN = {
    ".clang-format": None,  # the project's own
    "CMakeLists.txt": "add_subdirectory(core)\n",
    "core/CMakeLists.txt": "add_library(pr_core STATIC a.c b.c)\n",
    "core/a.h": "#ifndef CORE_A_H\n#define CORE_A_H\n\n"
                "int a_value(int of);\n\n#endif\n",
    "core/a.c": '#include "core/a.h"\n\n'
                "/* sprintf( and extern { in a comment } are no calls */\n"
                "int a_value(int of)\n{\n"
                '    return of > 0 ? (int)sizeof("system(} // \\" {") : 0;\n'
                "}\n",
    "core/b.c": '#include "core/a.h"\n\nint b_value(void);\n\n'
                "int b_value(void)\n{\n    return a_value('\"');\n}\n",
    "app/sink/c.h": '#ifndef APP_SINK_C_H\n#define APP_SINK_C_H\n\n'
                    '#include "core/a.h"\n\n#endif\n',
}


def function(name, lines):
    """A function of that many lines."""
    return (f"int {name}(void);\n\nint {name}(void)\n{{\n"
            + "    a_value(1);\n" * (lines - 4) + "    return 0;\n}\n")


class Lint(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        for path, text in CLEAN.items():
            if text is None:
                with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                    text = file.read()
            self.write(path, text)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8", newline="") as file:
            file.write(text)

    def run_script(self, script):
        command = [sys.executable, "-B", os.path.join(HERE, script + ".py"),
                   "--root", self.root]
        if script == "headers":
            build = os.path.join(self.root, "build")
            self.write("build/compile_commands.json", json.dumps([{
                "file": os.path.join(self.root, "core/a.c"),
                "command": f"cc -I{self.root} -Wall -Werror -MD -MT x -o a.o "
                           f"-c {self.root}/core/a.c"}]))
            command += ["--build", build]
        return subprocess.run(command, capture_output=True, text=True,
                              check=False)

    def passes(self, script):
        result = self.run_script(script)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def fails(self, script, *words):
        result = self.run_script(script)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        for word in words:
            self.assertIn(word, result.stdout)

    def test_clean_tree_passes_every_script(self):
        for script in ("layers", "cycles", "sizes", "banned", "headers",
                       "format", "sources", "whitespace"):
            with self.subTest(script=script):
                self.passes(script)

    def test_empty_tree_fails(self):
        with tempfile.TemporaryDirectory() as empty:
            self.root = empty
            for script in ("layers", "cycles", "sizes", "banned", "format",
                           "sources", "whitespace"):
                with self.subTest(script=script):
                    self.fails(script, "nothing to look at")

    def test_layers(self):
        bad = {
            "core/x.c": '#include "app/sink/c.h"\n',
            "queue/x.c": '#include "smtp/x.h"\n',
            "smtp/x.c": '#include "queue/x.h"\n',
            "producer/x.c": '#include "consumer/x.h"\n',
            "consumer/x.c": '#include "config/x.h"\n',
            "app/sink/x.c": '#include "config/x.h"\n',
            "config/x.c": '#include "message/x.h"\n',
        }
        for folder in ("queue", "smtp", "consumer", "config", "message"):
            self.write(folder + "/x.h", "")
        for path, text in bad.items():
            with self.subTest(path=path):
                self.write(path, text)
                self.fails("layers", f"{path}:1: ", "may not include")
                os.unlink(os.path.join(self.root, path))
        self.write("consumer/x.c", '#include "queue/x.h"\n#include "smtp/x.h"\n')
        self.write("app/x.c", '#include "app/sink/c.h"\n#include "config/x.h"\n')
        self.write("tests/x.c", "#include <cmocka.h>\n#include <curl/curl.h>\n"
                                '#include "smtp/x.h"\n')
        self.write("core/x.c", '/*\n#include "app/sink/c.h"\n*/\n')
        self.passes("layers")

    def test_layers_wants_the_folder_in_the_name(self):
        self.write("core/x.c", '#include "a.h"\n')
        self.fails("layers", "is not written as")
        self.write("core/x.c", '#include "core/gone.h"\n')
        self.fails("layers", "there is no")

    def test_layers_of_third_party_headers(self):
        for path, header in (("queue/x.c", "curl/curl.h"),
                             ("app/x.c", "libconfig.h"),
                             ("message/x.c", "yajl/yajl_parse.h"),
                             ("queue/x.c", "event2/event.h"),
                             ("app/x.c", "sqlite3.h"),
                             ("core/x.c", "cmocka.h")):
            with self.subTest(header=header):
                self.write(path, f"# include <{header}>\n")
                self.fails("layers", f"{path}:1: ", header)
                os.unlink(os.path.join(self.root, path))
        self.write("queue/x.c", "#include <sqlite3.h>\n")
        self.passes("layers")
        self.write("queue/y.c", "#include <sqlite3.h>\n")
        self.fails("layers", "queue/x.c queue/y.c")

    def test_cycles(self):
        self.write("core/x.h", '#include "core/y.h"\n')
        self.write("core/y.h", '#include "core/z.h"\n')
        self.write("core/z.h", '#include "core/x.h"\n')
        self.fails("cycles", "core/x.h -> core/y.h -> core/z.h -> core/x.h")

    def test_sizes(self):
        self.write("core/x.c", function("x", 80) + function("y", 80))
        self.passes("sizes")
        self.write("core/x.c", "struct s {\n    int a;\n};\n\n"
                   + "#define OPEN {\n" + function("x", 81))
        self.fails("sizes", "core/x.c:8: x() has 81 lines")
        self.write("core/x.c", "\n" * 800)
        self.passes("sizes")
        self.write("core/x.c", "\n" * 801)
        self.fails("sizes", "core/x.c: 801 lines")

    def test_sizes_are_not_fooled_by_braces_in_text(self):
        body = "    a_value('{');\n    a_str(\"} {{ \\\" }\"); /* { */\n" * 45
        self.write("core/x.c", "int x(void)\n{\n" + body + "}\n")
        self.fails("sizes", "core/x.c:1: x() has 93 lines")
        self.write("core/x.c", "static const int t[] = {\n" + "    1,\n" * 90
                   + "};\n\nint x(void)\n{\n    return 0;\n}\n")
        self.passes("sizes")

    def test_banned(self):
        for text, word in (("strcpy(a, b);", "strcpy() is banned"),
                           ("x = atoi (a);", "atoi() is banned"),
                           ("usleep(1);", "usleep() is banned"),
                           ("signal(SIGPIPE, f);", "signal() is banned"),
                           ("extern int x;", "extern"),
                           ("typedef struct x x_t;", "no typedef"),
                           ("int x; // so", "not //"),
                           ("int x; /* " + "x" * 70 + " */", "83 columns")):
            with self.subTest(text=text):
                self.write("core/x.c", "\n" + text + "\n")
                self.fails("banned", "core/x.c:2: ", word)
        self.write("core/x.c", "my_strcpy(a); c.signal(b); c->system(1);\n"
                   'char *u = "http://x strcpy(";\n/* // atoi(x) */\n'
                   "int snprintf(int); int strtok_x(int);\n")
        self.passes("banned")

    def test_headers(self):
        self.write("core/x.h", "size_t x(void);\n")
        self.fails("headers", "core/x.h: does not compile alone", "size_t")

    def test_format(self):
        self.write("core/x.c", "int  x( void );\n")
        self.fails("format", "core/x.c:1")

    def test_sources(self):
        self.write("core/x.c", "")
        self.fails("sources", "core/x.c: is named in no")
        self.write("core/CMakeLists.txt",
                   "add_library(pr_core a.c b.c) # x.c\n")
        self.fails("sources", "core/x.c")
        self.write("core/CMakeLists.txt", "add_library(pr_core a.c b.c x.c)\n"
                   "add_library(y ${PROJECT_SOURCE_DIR}/tests/s.c)\n")
        self.write("tests/s.c", "")
        self.write("tests/unit/core/test_buf.c", "")
        self.write("tests/unit/core/CMakeLists.txt",
                   "pr_unit_test(buf LIBS pr_core)\n")
        self.passes("sources")
        self.write("app/CMakeLists.txt", "file(GLOB x *.c)\n")
        self.fails("sources", "no GLOB")

    def test_whitespace(self):
        for path, text, word in (
                ("README.md", "a \n", "blanks at the end"),
                ("README.md", "a\r\n", "has a CR"),
                ("README.md", "a", "no newline at the end"),
                ("core/x.c", "\tint x;\n", "has a tab")):
            with self.subTest(word=word):
                self.write(path, text)
                self.fails("whitespace", path, word)
                os.unlink(os.path.join(self.root, path))
        self.write("Makefile", "a:\n\tb\n")
        self.write("tests/fuzz/corpus/x/1", "a \r\n\t")
        self.passes("whitespace")


if __name__ == "__main__":
    unittest.main()
