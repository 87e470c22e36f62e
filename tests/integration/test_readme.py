"""What README.md shows works when it is pasted."""

import pathlib
import re
import subprocess
import unittest

from harness import DEADLINE_S
from service import Service

README = pathlib.Path(__file__).parents[2] / "README.md"


class Readme(unittest.TestCase):
    def test_the_python_blocks_can_be_pasted_into_python(self):
        blocks = re.findall(r"```python\n(.*?)```",
                            README.read_text(encoding="utf-8"), re.DOTALL)
        self.assertEqual(len(blocks), 2)
        with Service() as service:
            ports = [service.daemon.address(kind)[1] for kind in
                     ("tcp", "udp")]
            for block, port in zip(blocks, ports):
                self.assertIn("7788", block)
                done = subprocess.run(
                    ["/usr/bin/python3", "-q", "-i"],
                    input=block.replace("7788", str(port)) + "\n",
                    capture_output=True, text=True, timeout=DEADLINE_S,
                    check=False)
                self.assertNotIn("Error", done.stderr)
                self.assertIn("'ok': True", done.stdout)

    def test_what_the_shell_blocks_need_is_installed_for_a_build(self):
        packages = (README.parent / "scripts/packages.sh").read_text(
            encoding="utf-8")
        build = re.search(r"packages_build=\((.*?)\)", packages,
                          re.DOTALL).group(1).split()
        self.assertIn("nc ", README.read_text(encoding="utf-8"))
        self.assertIn("netcat-openbsd", build)


if __name__ == "__main__":
    unittest.main()
