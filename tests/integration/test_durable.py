"""The durable spool: what is accepted outlives kills and bad disks, and what
cannot be trusted is refused with words."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

from harness import DEADLINE_S, Sink, binary, wait_until
from service import Daemon, mail

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "crash"))
import power  # noqa: E402  pylint: disable=wrong-import-position

KILLED = -9
DISK_ERRORS = ("spool_full", "internal")
SANITIZED = bool(os.environ.get("POSTRIDER_SANITIZE"))


def libraries(*names):
    return " ".join(binary(f"preload_{name}.so") for name in names)


class Place:
    """A spool, a sink, and daemons one after another."""

    def __init__(self, *sink):
        self.stack = contextlib.ExitStack()
        self.directory = os.path.realpath(tempfile.mkdtemp(prefix="durable-"))
        self.stack.callback(shutil.rmtree, self.directory, True)
        self.spool_dir = os.path.join(self.directory, "spool")
        os.mkdir(self.spool_dir, mode=0o700)
        self.sink = self.stack.enter_context(
            Sink("--smtp", "127.0.0.1:0", *sink))
        # A port where nobody listens: a relay that is down.
        dead = self.stack.enter_context(socket.socket())
        dead.bind(("127.0.0.1", 0))
        self.dead = dead.getsockname()

    @property
    def spool(self):
        return os.path.join(self.spool_dir, "spool.db")

    @property
    def log_file(self):
        return self.spool + "-wal"

    def config(self, is_up, retry):
        host, port = self.sink.address("smtp") if is_up else self.dead
        return f"""
listen = ( {{ type = "tcp"; port = 0; }},
           {{ type = "unix"; path = "{self.directory}/sock"; }} );
relays = ( {{ name = "main"; url = "smtp://{host}:{port}"; tls = "none";
              backoff_first = "20ms"; backoff_longest = "100ms"; }} );
spool = {{ backend = "sqlite"; path = "{self.spool}"; }};
retry = {{ {retry} }};
"""

    def start(self, is_up=True, retry='first = "50ms"; longest = "200ms";',
              **environment):
        """A daemon; it is ended with the place if not before."""
        daemon = Daemon(self.config(is_up, retry), self.directory,
                        env={**os.environ, **environment})
        self.stack.callback(self.end, daemon)
        return daemon

    @staticmethod
    def end(daemon):
        if not daemon.stopped:
            daemon.stop(signal.SIGKILL)

    def refused(self):
        """What a daemon says that does not start."""
        path = os.path.join(self.directory, "refused.conf")
        pathlib.Path(path).write_text(
            self.config(True, "").replace("/sock", "/sock2"),
            encoding="utf-8")
        done = subprocess.run([binary("postriderd"), "-c", path],
                              capture_output=True, text=True, check=False,
                              timeout=DEADLINE_S)
        if done.returncode == 0:
            raise AssertionError("the daemon started and ended with 0")
        return done.stderr

    def verify(self):
        return subprocess.run(
            [binary("postriderd"), "-c",
             os.path.join(self.directory, "postrider.conf"), "--verify"],
            capture_output=True, text=True, check=False, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stack.close()


def submit(daemon, *jobs):
    with daemon.unix() as client:
        return client.ask_all(list(jobs))


def accepted(daemon, count, **fields):
    """The ids of so many jobs that were accepted."""
    answers = submit(daemon, *[mail(subject=f"job {n}", **fields)
                               for n in range(count)])
    for answer in answers:
        if not answer["ok"] or answer["durable"] != "disk":
            raise AssertionError(answer)
    return [answer["id"] for answer in answers]


class Case(unittest.TestCase):
    def place(self, *sink):
        return self.enterContext(Place(*sink))

    def assert_delivered(self, place, daemon, ids):
        for job in ids:
            self.assertEqual(daemon.settled(job)["state"], "delivered")
        arrived = [m["message_id"].strip("<>").split("@")[0]
                   for m in place.sink.messages()]
        for job in ids:
            self.assertEqual(arrived.count(job), 1, job)

    def assert_verified(self, place):
        done = place.verify()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Restart(Case):
    @staticmethod
    def listed(daemon, **how):
        with daemon.unix() as client:
            answer = client.ask({"op": "list", **how})
            return [job["id"] for job in answer["jobs"]]

    def test_a_list_shows_who_waits_for_a_relay_that_is_down(self):
        place = self.place()
        daemon = place.start(is_up=False)
        (job,) = accepted(daemon, 1)
        wait_until(lambda: daemon.status(job).get("note"), "it came back")
        self.assertEqual(self.listed(daemon, relay="main"), [job])
        self.assertEqual(self.listed(daemon, relay="other"), [])
        daemon.stop(signal.SIGKILL)
        daemon = place.start(is_up=False)
        self.assertEqual(self.listed(daemon, relay="main"), [job])
        event = daemon.status(job)["trail"][1]
        self.assertEqual((event["event"], event["relay"]),
                         ("released", "main"))

    def test_waiting_jobs_go_on_after_a_kill(self):
        place = self.place()
        daemon = place.start(is_up=False)
        ids = accepted(daemon, 50)
        ids += accepted(daemon, 2, text="x" * 70 + "\n" * 2 +
                        ("y" * 70 + "\n") * 20000)
        self.assertEqual(daemon.stop(signal.SIGKILL), KILLED)
        self.assert_delivered(place, place.start(), ids)

    def test_an_orderly_end_and_its_file(self):
        place = self.place()
        daemon = place.start(is_up=False)
        ids = accepted(daemon, 5)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(os.stat(place.spool).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(place.spool + ".bodies").st_mode & 0o777,
                         0o700)
        self.assert_verified(place)
        self.assert_delivered(place, place.start(), ids)

    def test_attempts_and_replies_are_remembered(self):
        place = self.place("--fault",
                           "mail:count=2,reply=451 4.3.0 Come again")
        daemon = place.start(retry='first = "1h";')
        (job,) = accepted(daemon, 1)
        wait_until(lambda: daemon.status(job)["state"] == "deferred",
                   "deferred")
        before = daemon.status(job)
        self.assertEqual(daemon.stop(signal.SIGKILL), KILLED)
        after = place.start(retry='first = "1h";').status(job)
        self.assertEqual(after, before)
        self.assertEqual(after["attempts"], 1)
        self.assertIn("Come again", after["recipients"][0]["reply"])

    def test_a_deferred_job_is_tried_when_its_time_comes(self):
        place = self.place("--fault",
                           "mail:count=1,reply=451 4.3.0 Come again")
        retry = 'first = "1s"; jitter = 0.0;'
        daemon = place.start(retry=retry)
        (job,) = accepted(daemon, 1)
        wait_until(lambda: daemon.status(job)["state"] == "deferred",
                   "deferred")
        daemon.stop(signal.SIGKILL)
        status = place.start(retry=retry).settled(job)
        self.assertEqual((status["state"], status["attempts"]),
                         ("delivered", 2))

    def test_keys_last(self):
        place = self.place()
        daemon = place.start()
        first = mail(idempotency_key="k", subject="once")
        (answer,) = submit(daemon, first)
        daemon.stop(signal.SIGKILL)
        daemon = place.start()
        (again,) = submit(daemon, first)
        self.assertTrue(again["ok"], again)
        self.assertEqual((again["id"], again["duplicate"]),
                         (answer["id"], True))
        (other,) = submit(daemon, dict(first, subject="another"))
        self.assertEqual(other["error"], "key_conflict")
        self.assert_delivered(place, daemon, [answer["id"]])

    def test_held_jobs_stay_held_until_a_person_retries_them(self):
        place = self.place("--fault", "final:count=1,discard,drop")
        daemon = place.start()
        (job,) = accepted(daemon, 1, on_unknown="hold")
        self.assertEqual(daemon.settled(job)["state"], "held")
        daemon.stop(signal.SIGKILL)
        daemon = place.start()
        self.assertEqual(daemon.status(job)["state"], "held")
        with daemon.unix() as client:
            self.assertTrue(client.ask({"op": "retry", "id": job})["ok"])
        self.assert_delivered(place, daemon, [job])

    def test_a_hold_job_in_flight_comes_back_as_held(self):
        place = self.place("--fault", "final:match=held@*,count=1,stall")
        daemon = place.start()
        (job,) = accepted(daemon, 1, on_unknown="hold",
                          to="held@example.net")
        (other,) = accepted(daemon, 1)
        wait_until(lambda: place.sink.log("fault"), "its message is sent")
        daemon.stop(signal.SIGKILL)
        daemon = place.start()
        status = daemon.settled(job)
        self.assertEqual(status["state"], "held")
        (event,) = [e for e in status["trail"] if e["event"] == "interrupted"]
        self.assertEqual(event["relay"], "main")
        self.assertEqual(status["recipients"][0]["relay"], "main")
        self.assertEqual(self.listed(daemon, relay="main", state="held"),
                         [job])
        self.assertEqual(daemon.settled(other)["state"], "delivered")
        self.assertEqual(len(place.sink.messages()), 2)

    def test_many_waiting_jobs_do_not_delay_the_start(self):
        place = self.place()
        daemon = place.start(is_up=False)
        accepted(daemon, 5000)
        daemon.stop(signal.SIGKILL)
        began = time.monotonic()
        daemon = place.start(is_up=False)
        accepted(daemon, 1)
        took_s = time.monotonic() - began
        self.assertLess(took_s, 10 if SANITIZED else 2)
        ledger = daemon.stats()["ledger"]
        self.assertEqual(ledger["waiting"] + ledger["active"], 5001)


class Refused(Case):
    """Not started, and nothing changed, with a sentence of what to do."""

    def spool_with_jobs(self, how=signal.SIGKILL, count=3):
        place = self.place()
        daemon = place.start(is_up=False)
        ids = accepted(daemon, count)
        daemon.stop(how)
        return place, ids

    def assert_says(self, text, *words):
        for word in words:
            self.assertIn(word, text)
        self.assertNotIn("event=ready", text)

    def test_a_second_daemon(self):
        place = self.place()
        daemon = place.start()
        self.assert_says(place.refused(), place.spool, "in use")
        self.assert_delivered(place, daemon, accepted(daemon, 3))

    def test_a_missing_log(self):
        place, ids = self.spool_with_jobs()
        kept = pathlib.Path(place.log_file).read_bytes()
        os.unlink(place.log_file)
        self.assert_says(place.refused(), place.log_file)
        self.assertFalse(os.path.exists(place.log_file))
        # Put back, nothing is lost.
        pathlib.Path(place.log_file).write_bytes(kept)
        os.chmod(place.log_file, 0o600)
        self.assert_delivered(place, place.start(), ids)

    def test_a_file_that_was_cut(self):
        place, ids = self.spool_with_jobs(signal.SIGTERM, count=30)
        content = pathlib.Path(place.spool).read_bytes()
        for cut in (1, 4095, 8192):
            with self.subTest(cut):
                os.truncate(place.spool, len(content) - cut)
                self.assert_says(place.refused(), place.spool,
                                 "put a copy back")
                self.assertEqual(os.stat(place.spool).st_size,
                                 len(content) - cut)
                self.assertNotEqual(place.verify().returncode, 0)
        pathlib.Path(place.spool).write_bytes(content)
        self.assert_delivered(place, place.start(), ids)

    def test_a_missing_or_empty_file_beside_its_mails(self):
        place = self.place()
        daemon = place.start(is_up=False)
        ids = accepted(daemon, 1, text=("y" * 70 + "\n") * 20000)
        daemon.stop()
        bodies = place.spool + ".bodies"
        os.rename(place.spool, place.spool + ".kept")
        self.assert_says(place.refused(), place.spool, "missing", bodies)
        self.assertFalse(os.path.exists(place.spool))
        pathlib.Path(place.spool).touch(mode=0o600)
        self.assert_says(place.refused(), place.spool, "empty", bodies)
        self.assertEqual(os.listdir(bodies), ids)
        os.rename(place.spool + ".kept", place.spool)
        self.assert_delivered(place, place.start(), ids)

    def test_a_log_without_its_file(self):
        place, ids = self.spool_with_jobs()
        os.rename(place.spool, place.spool + ".kept")
        self.assert_says(place.refused(), place.spool, "missing",
                         place.log_file)
        os.rename(place.spool + ".kept", place.spool)
        self.assert_delivered(place, place.start(), ids)

    def test_a_newer_schema(self):
        place, ids = self.spool_with_jobs(signal.SIGTERM)
        self.set_version(place, 1000)
        self.assert_says(place.refused(), place.spool, "1000")
        self.set_version(place, 2)
        self.assert_delivered(place, place.start(), ids)

    @staticmethod
    def set_version(place, version):
        with contextlib.closing(sqlite3.connect(place.spool)) as db:
            db.execute(f"PRAGMA user_version = {version}")
        for path in pathlib.Path(place.spool_dir).glob("spool.db*"):
            if path.is_file():
                path.chmod(0o600)

    def test_a_spool_that_others_can_read(self):
        place, ids = self.spool_with_jobs()
        os.chmod(place.spool, 0o644)
        self.assert_says(place.refused(), place.spool, "chmod 600")
        os.chmod(place.spool, 0o600)
        self.assert_delivered(place, place.start(), ids)

    def test_a_file_that_is_no_spool(self):
        place = self.place()
        garbage = random.Random(1).randbytes(20000)
        pathlib.Path(place.spool).write_bytes(garbage)
        os.chmod(place.spool, 0o600)
        self.assert_says(place.refused(), place.spool)
        self.assertEqual(pathlib.Path(place.spool).read_bytes(), garbage)

    def test_somebody_elses_database(self):
        place = self.place()
        with contextlib.closing(sqlite3.connect(place.spool)) as db:
            db.execute("CREATE TABLE job(mine)")
        os.chmod(place.spool, 0o600)
        self.assert_says(place.refused(), place.spool)

    def test_a_directory_that_is_not_there(self):
        place = self.place()
        os.rmdir(place.spool_dir)
        self.assert_says(place.refused(), place.spool_dir)
        os.mkdir(place.spool_dir)

    def test_verify_finds_a_changed_number(self):
        place, _ = self.spool_with_jobs(signal.SIGTERM)
        with contextlib.closing(sqlite3.connect(place.spool)) as db:
            db.execute("DELETE FROM job WHERE seq = (SELECT max(seq) "
                       "FROM job)")
            db.commit()
        os.chmod(place.spool, 0o600)
        done = place.verify()
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(done.stdout.strip(), done)


@unittest.skipIf(SANITIZED, "preloaded libraries do not go with sanitizers")
class Torn(Case):
    """A kill in the middle of a write to the log."""

    def test_a_torn_last_frame_takes_nothing_else_with_it(self):
        for number in (3, 6, 12, 25, 60):
            with self.subTest(number):
                place = self.place()
                ids = self.submit_until_death(place, f"write:{number}:half")
                self.assert_delivered(place, place.start(), ids)

    def submit_until_death(self, place, call):
        """The ids of jobs that were accepted before; few if it died early."""
        ids = []
        try:
            daemon = place.start(is_up=False, LD_PRELOAD=libraries("kill"),
                                 CRASH_AT=call, CRASH_UNDER=place.spool_dir)
        except AssertionError:
            return ids
        try:
            with daemon.unix() as client:
                for n in range(200):
                    ids.append(client.ask(mail(subject=str(n)))["id"])
        except (OSError, AssertionError):
            pass
        self.assertEqual(daemon.process.wait(DEADLINE_S), KILLED)
        return ids

    def test_half_a_frame_at_the_end_of_the_log(self):
        place = self.place()
        daemon = place.start(is_up=False)
        ids = accepted(daemon, 5)
        daemon.stop(signal.SIGKILL)
        log = pathlib.Path(place.log_file)
        content = log.read_bytes()
        with log.open("ab") as file:
            file.write(content[32:32 + 2000])
        daemon = place.start()
        self.assert_delivered(place, daemon, ids)
        self.assertEqual(daemon.stop(), 0)
        self.assert_verified(place)

    def test_a_damaged_job_stops_no_other(self):
        place = self.place()
        daemon = place.start(is_up=False)
        ids = accepted(daemon, 6)
        daemon.stop()
        with contextlib.closing(sqlite3.connect(place.spool)) as db:
            db.execute("UPDATE job SET record = x'00' WHERE id = ?",
                       (ids[1],))
            db.execute("UPDATE job SET state = 99 WHERE id = ?", (ids[3],))
            db.commit()
        daemon = place.start()
        others = [job for job in ids if job not in (ids[1], ids[3])]
        self.assert_delivered(place, daemon, others + accepted(daemon, 3))
        with daemon.unix() as client:
            for job in (ids[1], ids[3]):
                answer = client.ask({"op": "status", "id": job})
                self.assertEqual((answer["ok"], answer["error"]),
                                 (False, "internal"))
            answer = client.ask({"op": "list"})
            self.assertEqual(len(answer["jobs"]), 7)
        self.assertEqual(daemon.stats()["ledger"]["waiting"], 2)
        self.assertEqual(daemon.stop(), 0)
        log = daemon.log()
        self.assertEqual(log.count("event=spool.damaged_job"), 2)
        done = place.verify()
        self.assertNotEqual(done.returncode, 0)
        for job in (ids[1], ids[3]):
            self.assertIn(f"event=spool.damaged_job job={job} ", log)
            self.assertIn(job, done.stdout)

    def test_a_large_body_that_is_damaged_stops_no_other(self):
        """Its job is held, and those behind it are sent: in the daemon that
        runs, and in the next."""
        harms = {
            "cut": lambda path: os.truncate(path, 5000),
            "empty": lambda path: os.truncate(path, 0),
            "link": lambda path: (path.unlink(), path.symlink_to("/dev/null")),
            "directory": lambda path: (path.unlink(), path.mkdir()),
            "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
        }
        place = self.place()
        daemon = place.start()
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ",
                             time.gmtime(time.time() + 3))
        damaged = []
        for name, harm in harms.items():
            (job,) = accepted(daemon, 1, text="L" * 1100000, send_at=soon)
            harm(pathlib.Path(place.spool + ".bodies", job))
            damaged.append((name, job))
        others = accepted(daemon, 20, send_at=soon)
        self.assert_delivered(place, daemon, others + accepted(daemon, 3))
        daemon.stop(signal.SIGKILL)
        daemon = place.start()
        with daemon.unix() as client:
            for name, job in damaged:
                status = daemon.settled(job)
                self.assertEqual(status["state"], "held", name)
                self.assertIn(job, status["note"])
                self.assertIn("cannot be read", status["note"])
                self.assertTrue(client.ask({"op": "retry", "id": job})["ok"])
        self.assert_delivered(place, daemon, accepted(daemon, 3))
        for name, job in damaged:
            self.assertEqual(daemon.settled(job)["state"], "held", name)
        self.assertEqual(daemon.log().count("event=spool.lost_body"),
                         len(harms))
        self.assertEqual(len(place.sink.messages()), 26)

    def test_a_new_spool_is_logged(self):
        place = self.place()
        daemon = place.start()
        self.assertIn(f"event=spool.created path={place.spool}", daemon.log())
        daemon.stop()
        self.assertNotIn("event=spool.created", place.start().log())

    def test_files_of_others_are_left_alone_and_mentioned(self):
        place = self.place()
        place.start().stop()
        other = pathlib.Path(place.spool + ".bodies", "notes.txt")
        other.write_text("mine", encoding="utf-8")
        daemon = place.start()
        daemon.wait_log("event=spool.strange_files count=1 one=notes.txt")
        daemon.stop()
        self.assertEqual(daemon.log().count("spool.strange_files"), 1)
        self.assertEqual(other.read_text(encoding="utf-8"), "mine")
        done = place.verify()
        self.assertIn("notes.txt", done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_orphans_are_swept_at_start(self):
        place = self.place()
        place.start().stop(signal.SIGKILL)
        bodies = pathlib.Path(place.spool + ".bodies")
        orphan = bodies / "01aaaaaaaaaaaaaaaaaaaaaaaa"
        orphan.write_bytes(b"x" * 5000)
        place.start()
        wait_until(lambda: not orphan.exists(), "the orphan is swept")


@unittest.skipIf(SANITIZED, "preloaded libraries do not go with sanitizers")
class BadDisk(Case):
    """While the disk fails clients get errors; then all goes on."""

    def setUp(self):
        self.spot = self.place()
        self.switch = os.path.join(self.spot.directory, "switch")

    def environment(self, variable):
        return {variable: self.switch, "FAIL_UNDER": self.spot.spool_dir,
                "LD_PRELOAD": libraries("fail")}

    def break_disk(self):
        pathlib.Path(self.switch).touch()

    def repair_disk(self):
        os.unlink(self.switch)

    def assert_refused(self, daemon, count=5, **fields):
        for answer in submit(daemon, *[mail(subject="refused", **fields)
                                       for _ in range(count)]):
            self.assertFalse(answer["ok"], answer)
            self.assertIn(answer["error"], DISK_ERRORS)
            self.assertTrue(answer["retry"], answer)

    def accept_again(self, daemon, count=3):
        """Waits until the daemon takes jobs, as it must by itself."""
        wait_until(lambda: submit(daemon, mail(subject="probe"))[0]["ok"],
                   "the daemon recovers")
        return accepted(daemon, count)

    def assert_nothing_refused_arrived(self):
        subjects = self.spot.sink.messages()
        self.assertEqual(len(subjects),
                         len({m["message_id"] for m in subjects}))

    def go_through(self, variable, **fields):
        daemon = self.spot.start(**self.environment(variable))
        ids = accepted(daemon, 5)
        self.assert_delivered(self.spot, daemon, ids)
        count = len(self.spot.sink.messages())
        self.break_disk()
        self.assert_refused(daemon, **fields)
        self.assertEqual(len(self.spot.sink.messages()), count)
        self.repair_disk()
        more = self.accept_again(daemon)
        self.assert_delivered(self.spot, daemon, ids + more)
        stats = daemon.stats()
        self.assertEqual(stats["ledger"]["accepted"],
                         stats["ledger"]["delivered"])
        self.assertEqual(stats["ledger"]["accepted"], 5 + 1 + 3)
        self.assertEqual(daemon.stop(), 0)
        self.assert_verified(self.spot)

    def test_syncs_that_fail(self):
        self.go_through("FAIL_SYNC")

    def test_writes_that_fail(self):
        self.go_through("FAIL_WRITE")

    def test_large_bodies_whose_sync_fails(self):
        self.go_through("FAIL_SYNC", text=("y" * 70 + "\n") * 20000)
        self.assertEqual(os.listdir(self.spot.spool + ".bodies"), [])

    def test_large_bodies_that_cannot_be_written(self):
        self.go_through("FAIL_WRITE", text=("y" * 70 + "\n") * 20000)
        self.assertEqual(os.listdir(self.spot.spool + ".bodies"), [])

    def settle_while_broken(self, variable):
        """Outcomes that cannot be recorded are kept and recorded later."""
        daemon = self.spot.start(is_up=False, **self.environment(variable))
        ids = accepted(daemon, 4)
        daemon.stop()
        self.spot.sink.finish()
        sink = self.spot.stack.enter_context(
            Sink("--smtp", "127.0.0.1:0", "--fault", "final:delay=1s"))
        self.spot.sink = sink
        daemon = self.spot.start(**self.environment(variable))
        wait_until(lambda: sink.log("fault"), "the mail is on its way")
        self.break_disk()
        wait_until(lambda: len(sink.messages()) == 4, "the mail arrived")
        daemon.wait_log("event=spool.disk_fails")
        self.assert_asked_in_vain(daemon, ids[0])
        self.assertIn(daemon.status(ids[0])["state"],
                      ("active", "queued", "delivered"))
        self.repair_disk()
        self.assert_delivered(self.spot, daemon, ids)
        daemon.wait_log("event=spool.disk_works")
        self.assertEqual(daemon.log().count("spool.disk_fails"), 1)
        self.assertEqual(daemon.stop(), 0)
        self.assert_verified(self.spot)

    def assert_asked_in_vain(self, daemon, job):
        """Who wants to change a job learns that it is the disk."""
        with daemon.unix() as client:
            for op in ("cancel", "retry", "drop"):
                answer = client.ask({"op": op, "id": job})
                self.assertEqual(answer.get("error"), "internal", answer)
                self.assertTrue(answer["retry"], answer)
                self.assertIn("spool", answer["message"])

    def start_while_broken(self, variable, how):
        """A restart while the disk takes nothing."""
        daemon = self.spot.start(is_up=False)
        ids = accepted(daemon, 5)
        self.assertEqual(daemon.stop(how), 0 if how == signal.SIGTERM
                         else KILLED)
        self.break_disk()
        daemon = self.spot.start(**self.environment(variable))
        daemon.wait_log("event=spool.disk_fails")
        self.assert_refused(daemon)
        self.assertEqual(daemon.status(ids[0])["state"], "queued")
        stats = daemon.stats()
        self.assertTrue(stats["spool"]["disk_error"], stats)
        self.assertEqual(stats["ledger"]["waiting"], 5)
        self.assertEqual(stats["ledger"]["active"], 0)
        # What is sent now would be sent again after another restart.
        self.assertEqual(self.spot.sink.messages(), [])
        self.assertEqual(daemon.stop(), 0)
        daemon = self.spot.start(**self.environment(variable))
        daemon.wait_log("event=spool.disk_fails")
        self.repair_disk()
        self.assert_delivered(self.spot, daemon, ids)
        ids = accepted(daemon, 3)
        self.assert_delivered(self.spot, daemon, ids)
        daemon.wait_log("event=spool.disk_works")
        self.assertEqual(daemon.log().count("event=spool.disk_fails"), 1)
        self.assertEqual(daemon.stop(), 0)
        self.assert_verified(self.spot)

    def test_a_start_while_writes_fail(self):
        self.start_while_broken("FAIL_WRITE", signal.SIGTERM)

    def test_a_start_with_a_log_that_cannot_be_synced_is_refused(self):
        daemon = self.spot.start(is_up=False)
        ids = accepted(daemon, 5)
        daemon.stop(signal.SIGKILL)
        self.break_disk()
        with self.assertRaises(AssertionError):
            self.spot.start(**self.environment("FAIL_SYNC"))
        self.repair_disk()
        self.assert_delivered(self.spot, self.spot.start(), ids)

    def test_settlements_wait_for_syncs(self):
        self.settle_while_broken("FAIL_SYNC")

    def test_settlements_wait_for_writes(self):
        self.settle_while_broken("FAIL_WRITE")

    def send_little_while_broken(self, variable):
        """What is sent while nothing can be recorded is on the wire only."""
        daemon = self.spot.start(is_up=False, **self.environment(variable))
        due = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
        ids = accepted(daemon, 1500, send_at=due)
        daemon.stop()
        daemon = self.spot.start(**self.environment(variable))
        self.break_disk()
        daemon.wait_log("event=spool.disk_fails")
        time.sleep(1)  # time for too much
        sent = len(self.spot.sink.messages())
        self.assertLess(sent, 150)
        time.sleep(1)
        self.assertEqual(len(self.spot.sink.messages()), sent)
        daemon.stop(signal.SIGKILL)
        self.repair_disk()
        daemon = self.spot.start()
        for job in ids:
            self.assertEqual(daemon.settled(job)["state"], "delivered")
        arrived = self.spot.sink.messages()
        self.assertEqual(len({m["message_id"] for m in arrived}), 1500)
        self.assertLessEqual(len(arrived), 1500 + sent)
        self.assertEqual(daemon.stop(), 0)
        self.assert_verified(self.spot)

    def test_little_is_sent_while_syncs_fail(self):
        self.send_little_while_broken("FAIL_SYNC")

    def test_little_is_sent_while_writes_fail(self):
        self.send_little_while_broken("FAIL_WRITE")

    def test_all_is_sent_when_writes_work_again(self):
        daemon = self.spot.start(is_up=False,
                                 **self.environment("FAIL_WRITE"))
        due = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
        ids = accepted(daemon, 1500, send_at=due)
        daemon.stop()
        daemon = self.spot.start(**self.environment("FAIL_WRITE"))
        self.break_disk()
        daemon.wait_log("event=spool.disk_fails")
        time.sleep(1)
        self.repair_disk()
        self.assert_delivered(self.spot, daemon, ids)
        self.assertEqual(len(self.spot.sink.messages()), 1500)
        self.assertEqual(daemon.stop(), 0)

    def test_after_failed_syncs_a_loss_of_power_takes_nothing_told(self):
        shadow = power.Shadow(self.spot.spool_dir)
        env = {**self.environment("FAIL_SYNC"), **shadow.environment(),
               "LD_PRELOAD": libraries("power", "fail")}
        daemon = self.spot.start(is_up=False, **env)
        ids = accepted(daemon, 20)
        for _ in range(3):
            self.break_disk()
            self.assert_refused(daemon)
            self.repair_disk()
            ids += self.accept_again(daemon, 20)
        daemon.stop(signal.SIGKILL)
        shadow.lose()
        self.assert_delivered(self.spot, self.spot.start(**env), ids)


if __name__ == "__main__":
    unittest.main()
