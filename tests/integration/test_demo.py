"""./demo without its build: it ends well and fits a terminal."""

import os
import pathlib
import subprocess
import unittest

from harness import DEADLINE_S

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "demo.py"


class Demo(unittest.TestCase):
    def test_the_demo_shows_what_was_asked_and_what_came_of_it(self):
        done = subprocess.run(
            ["/usr/bin/python3", SCRIPT, os.environ["POSTRIDER_BIN"]],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotIn("\033", done.stdout)
        for line in done.stdout.splitlines():
            if "unix:" not in line:  # in a directory of any length
                self.assertLessEqual(len(line), 80, line)
        self.assertNotIn("...", done.stdout)
        for text in (r'"text": "Guten Tag,\nIhr Kaffee ist unterwegs.\n"}',
                     '"idempotency_key": "backup-',
                     "postrider --json send --from shop@example.org",
                     "archive@example.org (bcc)",
                     "one of five was refused; the other four have the mail, "
                     "once"):
            self.assertIn(text, done.stdout)


if __name__ == "__main__":
    unittest.main()
