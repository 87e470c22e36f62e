#!/usr/bin/python3
"""The preloaded libraries: what is killed, what fails, what survives."""

import contextlib
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..",
                                "integration"))

import power  # noqa: E402
from harness import binary  # noqa: E402

KILLED = -9


def run(steps, libraries, **environment):
    """The lines that crash_steps printed, and its status."""
    env = {**os.environ, "CRASH_PROGRAM": "crash_steps", **environment,
           "LD_PRELOAD": " ".join(binary(f"preload_{name}.so")
                                  for name in libraries)}
    done = subprocess.run([binary("crash_steps"), *steps], env=env,
                          capture_output=True, text=True, timeout=20,
                          check=False)
    return done.stdout.split(), done.returncode, done.stderr


class Case(unittest.TestCase):
    def setUp(self):
        self.top = os.path.realpath(tempfile.mkdtemp(prefix="crash-"))
        self.addCleanup(shutil.rmtree, self.top)
        self.live = os.path.join(self.top, "live")
        os.mkdir(self.live)

    def path(self, name):
        return os.path.join(self.live, name)

    def bytes_of(self, name):
        path = pathlib.Path(self.path(name))
        return path.read_bytes() if path.exists() else None

    def steps(self, *texts):
        """NAME in a step: "@a" is the file a of the live directory."""
        return [text.replace("@", self.live + "/") for text in texts]


class Kill(Case):
    STEPS = ("open @a", "write @a 8 x", "fsync @a", "write @a 8 y",
             "fdatasync @a", "rename @a @b", "truncate @a 4", "send",
             "unlink @b", "send")

    def lines_before_death(self, where, **more):
        lines, status, _ = run(self.steps(*self.STEPS), ["kill"],
                               CRASH_AT=where, **more)
        self.assertEqual(status, KILLED, where)
        self.assertEqual(set(lines), {"ok"})
        return len(lines)

    def test_the_nth_call_of_a_kind_is_the_last(self):
        # The program's own lines go to a pipe, which is no regular file.
        for where, lines in (("write:1", 1), ("write:2", 3), ("sync:1", 2),
                             ("sync:2", 4), ("rename:1", 5),
                             ("truncate:1", 6), ("send:1", 7),
                             ("unlink:1", 8), ("send:2", 9)):
            with self.subTest(where):
                self.assertEqual(self.lines_before_death(where), lines)

    def test_before_after_and_in_the_middle_of_the_call(self):
        for when, left in (("before", b"x" * 8), ("half", b"x" * 8 + b"yyyy"),
                           ("after", b"x" * 8 + b"y" * 8)):
            with self.subTest(when):
                self.assertEqual(self.lines_before_death(f"write:2:{when}"),
                                 3)
                self.assertEqual(self.bytes_of("a"), left)
                os.unlink(self.path("a"))

    def test_other_files_and_programs_are_left_alone(self):
        for more in ({"CRASH_UNDER": self.top + "/elsewhere"},
                     {"CRASH_PROGRAM": "postriderd"}):
            lines, status, _ = run(self.steps(*self.STEPS), ["kill"],
                                   CRASH_AT="write:1", **more)
            self.assertEqual((len(lines), status), (len(self.STEPS), 0))

    def test_nonsense_is_refused(self):
        for where in ("write", "paint:1", "write:0", "write:1:never"):
            _, status, text = run(["send"], ["kill"], CRASH_AT=where)
            self.assertEqual(status, 70, where)
            self.assertIn(where, text)


class Fail(Case):
    def test_a_disk_fails_while_the_file_exists(self):
        steps = self.steps("open @a", "write @a 8 x", "fsync @a",
                           "fdatasync @a")
        switch = self.top + "/switch"
        for variable, lines in (
                ("FAIL_SYNC", ["ok", "ok", "5", "5"]),
                ("FAIL_WRITE", ["ok", "28", "ok", "ok"])):
            env = {variable: switch, "FAIL_UNDER": self.live}
            self.assertEqual(run(steps, ["fail"], **env)[0], ["ok"] * 4)
            pathlib.Path(switch).touch()
            self.assertEqual(run(steps, ["fail"], **env)[0], lines)
            env["FAIL_UNDER"] = self.top + "/other"
            self.assertEqual(run(steps, ["fail"], **env)[0], ["ok"] * 4)
            os.unlink(switch)


class Power(Case):
    def setUp(self):
        super().setUp()
        self.shadow = power.Shadow(self.live)

    def after(self, *steps, **environment):
        """What the live directory has after these steps and a loss."""
        self.work(*steps, **environment)
        self.shadow.lose()
        return {name: self.bytes_of(name) for name in os.listdir(self.live)}

    def work(self, *steps, **environment):
        lines, status, text = run(self.steps(*steps), ["kill", "power"],
                                  **self.shadow.environment(), **environment)
        if "CRASH_AT" not in environment:
            self.assertEqual((lines, status), (["ok"] * len(steps), 0), text)

    def test_what_was_synced_survives(self):
        for sync in ("fsync", "fdatasync"):
            self.assertEqual(
                self.after("open @a", "write @a 8 x", f"{sync} @a",
                           "syncdir " + self.live), {"a": b"x" * 8})

    def test_what_was_not_synced_is_gone(self):
        self.assertEqual(
            self.after("open @a", "write @a 8 x", "fsync @a",
                       "syncdir " + self.live, "write @a 8 y",
                       "pwrite @a 0 2 z"), {"a": b"x" * 8})

    def test_a_name_is_durable_when_its_directory_is_synced(self):
        self.assertEqual(self.after("open @a", "write @a 8 x", "fsync @a"),
                         {})
        self.assertEqual(self.after("open @a", "write @a 8 x",
                                    "syncdir " + self.live), {"a": b""})

    def test_only_the_ranges_written_since_the_last_sync_count(self):
        self.assertEqual(
            self.after("open @a", "write @a 9000 x", "fsync @a",
                       "syncdir " + self.live, "pwrite @a 100 10 y",
                       "pwrite @a 8000 5 z", "fsync @a", "pwrite @a 0 9 q"),
            {"a": b"x" * 100 + b"y" * 10 + b"x" * 7890 + b"z" * 5 +
                  b"x" * 995})

    def test_writes_with_o_dsync_need_no_sync(self):
        self.assertEqual(self.after("opensync @a", "write @a 8 x",
                                    "syncdir " + self.live), {"a": b"x" * 8})

    def test_a_file_open_for_writing_only(self):
        self.assertEqual(self.after("openout @a", "write @a 8 x", "fsync @a",
                                    "syncdir " + self.live), {"a": b"x" * 8})

    def test_truncating_is_durable_with_the_sync(self):
        base = ("open @a", "write @a 8 x", "fsync @a",
                "syncdir " + self.live, "truncate @a 3")
        self.assertEqual(self.after(*base), {"a": b"x" * 8})
        self.assertEqual(self.after(*base, "fsync @a"), {"a": b"xxx"})
        # Grown again: zeros, not what was there once.
        self.assertEqual(self.after(*base, "pwrite @a 6 2 y", "fsync @a"),
                         {"a": b"xxx\0\0\0yy"})

    def test_rename_and_unlink_are_durable_with_the_directory(self):
        base = ("open @a", "write @a 8 x", "fsync @a", "open @b",
                "write @b 8 y", "fsync @b", "syncdir " + self.live)
        self.assertEqual(self.after(*base, "rename @a @b"),
                         {"a": b"x" * 8, "b": b"y" * 8})
        self.assertEqual(self.after(*base, "rename @a @b",
                                    "syncdir " + self.live), {"b": b"x" * 8})
        self.assertEqual(self.after(*base, "unlink @a"),
                         {"a": b"x" * 8, "b": b"y" * 8})
        self.assertEqual(self.after(*base, "unlink @a",
                                    "syncdir " + self.live), {"b": b"y" * 8})

    def test_a_directory_and_what_is_in_it(self):
        base = ("mkdir @d", "open @d/a", "write @d/a 8 x", "fsync @d/a")
        self.assertEqual(self.after(*base), {})
        self.work(*base, "syncdir " + self.live, "syncdir @d")
        self.shadow.lose()
        self.assertEqual(self.bytes_of("d/a"), b"x" * 8)

    def test_a_number_used_again_brings_nothing_back(self):
        # Made, synced, removed, and made anew, likely with the same inode.
        for last in (("close @a", "unlink @a"), ("unlink @a", "close @a")):
            self.assertEqual(
                self.after("open @a", "write @a 8 x", "fsync @a",
                           "syncdir " + self.live, *last, "open @b",
                           "write @b 2 y", "syncdir " + self.live,
                           "unlink @b"), {"b": b""})

    def test_what_another_process_wrote_is_durable_with_our_sync(self):
        self.work("open @a", "write @a 8 x", "syncdir " + self.live)
        self.assertEqual(self.after("open @a", "pwrite @a 8 1 y",
                                    "fsync @a"), {"a": b"x" * 8 + b"y"})

    def test_killed_before_and_after_the_sync(self):
        steps = ("open @a", "write @a 8 x", "syncdir " + self.live,
                 "fdatasync @a", "write @a 8 y")
        self.assertEqual(self.after(*steps, CRASH_AT="sync:2"), {"a": b""})
        self.assertEqual(self.after(*steps, CRASH_AT="sync:2:after"),
                         {"a": b"x" * 8})

    def test_syncs_can_be_made_worthless(self):
        self.assertEqual(
            self.after("open @a", "write @a 8 x", "fsync @a",
                       "syncdir " + self.live, POWER_IGNORE_SYNC="1"), {})

    def test_what_a_failed_sync_should_have_written_is_lost(self):
        switch = self.top + "/switch"
        fail = {"FAIL_SYNC": switch, "FAIL_UNDER": self.live}
        first = self.steps("open @a", "write @a 8 x", "fsync @a",
                           "syncdir " + self.live)
        # The switch is a file of the program's own, made and removed by it.
        steps = [*first, *self.steps("pwrite @a 0 2 y"), "open " + switch,
                 *self.steps("fsync @a"), "unlink " + switch,
                 *self.steps("pwrite @a 4 2 z", "fsync @a")]
        lines, _, _ = run(steps, ["kill", "power", "fail"],
                          **self.shadow.environment(), **fail)
        self.assertEqual(lines, ["ok"] * 6 + ["5"] + ["ok"] * 3)
        self.assertEqual(self.bytes_of("a"), b"yyxxzzxx")
        self.shadow.lose()
        self.assertEqual(self.bytes_of("a"), b"xxxxzzxx")

    def test_two_losses_in_a_row(self):
        self.after("open @a", "write @a 8 x", "fsync @a",
                   "syncdir " + self.live)
        self.assertEqual(self.after("open @a", "pwrite @a 8 2 y"),
                         {"a": b"x" * 8})
        self.assertEqual(self.after("open @a", "pwrite @a 8 2 y",
                                    "fsync @a"), {"a": b"x" * 8 + b"yy"})

    def test_what_cannot_be_followed_says_so(self):
        _, status, text = run(self.steps("open @a", "write @a 8 x",
                                         "map @a"), ["power"],
                              **self.shadow.environment())
        self.assertEqual(status, 70)
        self.assertIn("mapping", text)

    def test_some_of_what_was_not_synced_may_be_there(self):
        seen = set()
        names = set()
        for seed in range(60):
            shutil.rmtree(self.live)
            os.mkdir(self.live)
            self.shadow.adopt()
            self.work("open @a", "write @a 2048 x", "fsync @a",
                      "syncdir " + self.live, "pwrite @a 0 4096 y",
                      "open @b")
            self.shadow.lose(random.Random(seed))
            found = self.bytes_of("a")
            sectors = [found[i:i + 512] for i in range(0, len(found), 512)]
            for i, sector in enumerate(sectors):
                allowed = (b"x", b"y") if i < 4 else (b"\0", b"y")
                self.assertIn(sector, [one * 512 for one in allowed])
            seen.add(tuple(sector[:1] for sector in sectors))
            names.add(frozenset(os.listdir(self.live)))
        self.assertIn((b"x",) * 4, seen)
        self.assertIn((b"y",) * 8, seen)
        self.assertGreater(len(seen), 10)
        self.assertEqual(names, {frozenset("a"), frozenset("ab")})


# Prints each row that it was told is committed; the directory is synced as a
# careful program does.
WRITER = """
import os, sqlite3, sys
path, synchronous = sys.argv[1:]
db = sqlite3.connect(path, isolation_level=None)
db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA wal_autocheckpoint = 20")
db.execute(f"PRAGMA synchronous = {synchronous}")
db.execute("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, x TEXT)")
fd = os.open(os.path.dirname(path), os.O_RDONLY)
os.fsync(fd)
(n,) = db.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()
while True:
    n += 1
    db.execute("INSERT INTO t VALUES(?, ?)", (n, "x" * (n % 3000)))
    print(n, flush=True)
"""


class Database(Case):
    """SQLite itself, killed at any write and sync, with the power lost."""

    def told(self, shadow, synchronous, call):
        """The last row that was committed before the kill."""
        env = {**os.environ, **shadow.environment(), "CRASH_AT": call,
               "CRASH_PROGRAM": os.path.basename(
                   os.path.realpath("/usr/bin/python3")),
               "CRASH_UNDER": self.live,
               "LD_PRELOAD": " ".join(binary(f"preload_{name}.so")
                                      for name in ("kill", "power"))}
        done = subprocess.run(
            [os.path.realpath("/usr/bin/python3"), "-c", WRITER,
             self.path("db"), synchronous], env=env, capture_output=True,
            text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, KILLED, done.stderr)
        return int((done.stdout.split() or ["0"])[-1])

    def kept(self):
        if not os.path.exists(self.path("db")):
            return 0
        with contextlib.closing(sqlite3.connect(self.path("db"))) as db:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(),
                             [("ok",)])
            if not db.execute("SELECT * FROM sqlite_master").fetchall():
                return 0
            (count, last) = db.execute(
                "SELECT count(*), coalesce(max(n), 0) FROM t").fetchone()
            self.assertEqual(count, last)
            return last

    def rows_lost(self, synchronous, rounds):
        shadow = power.Shadow(self.live)
        rng = random.Random(3)
        lost = 0
        for n in range(rounds):
            # With OFF there is no sync at all to be killed at.
            kinds = ("write",) if synchronous == "OFF" else ("write", "sync")
            call = (f"{rng.choice(kinds)}:"
                    f"{rng.randrange(1, 120)}:"
                    f"{rng.choice(('before', 'after'))}")
            last = self.told(shadow, synchronous, call)
            shadow.lose(rng if n % 2 else None)
            try:
                lost += max(0, last - self.kept())
            except (AssertionError, sqlite3.DatabaseError):
                if synchronous == "FULL":
                    raise
                lost += 1
                shutil.rmtree(self.live)
                os.mkdir(self.live)
            shadow.adopt()
        return lost

    def test_nothing_committed_is_lost_with_synchronous_full(self):
        self.assertEqual(self.rows_lost("FULL", 30), 0)

    def test_rows_are_lost_with_less(self):
        for synchronous in ("NORMAL", "OFF"):
            self.assertGreater(self.rows_lost(synchronous, 6), 0)


if __name__ == "__main__":
    if os.environ.get("POSTRIDER_SANITIZE"):
        print("preloaded libraries do not go with sanitizers: skipped")
        sys.exit(77)
    unittest.main()
