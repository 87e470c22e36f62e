"""Messages of 25 MiB: the daemon's memory does not depend on how many there
are, every byte arrives, and small mails do not wait for them.

POSTRIDER_LARGE_JOBS says how many there are. What was measured is printed.
"""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import tempfile
import threading
import time
import unittest

from harness import DEADLINE_S, Sink, wait_until
from service import Daemon, mail

SANITIZED = bool(os.environ.get("POSTRIDER_SANITIZE"))
JOBS = int(os.environ.get("POSTRIDER_LARGE_JOBS", "24"))
LIMIT_MIB = 256
LONG_S = 10 * DEADLINE_S

MIB = 1 << 20
LABEL_BYTES = 48  # in front of each attachment, so that all differ
COMMON = random.Random(4).randbytes(18 * MIB + MIB // 2 - LABEL_BYTES)
COMMON_BASE64 = base64.b64encode(COMMON)
# With lines that DATA has to stuff.
TEXT = ".\n..\n.x\nHello, world.\n.\n"


def label(number):
    return f"job {number} ".ljust(LABEL_BYTES, ".").encode()


def large(number, **fields):
    """A submit with an attachment of its own, in newline framing, in pieces
    that are not copied."""
    text = json.dumps(mail(
        text=TEXT, subject=f"large {number}", **fields,
        attachments=[{"filename": "large.bin", "content": "<here>"}]))
    before, after = text.encode().split(b"<here>")
    return [before + base64.b64encode(label(number)), COMMON_BASE64,
            after + b"\n"]


def say(client, pieces):
    for piece in pieces:
        client.socket.sendall(piece)
    return client.reply()


class Memory:
    """The peak of a daemon's resident memory in each phase."""

    def __init__(self, title):
        self.title = title
        self.phases = []

    def take(self, daemon, phase):
        """The phase ends here, and the next one begins."""
        status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text(
            encoding="ascii")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        self.phases.append((phase, int(fields["VmHWM"].split()[0]) / 1024))
        pathlib.Path(f"/proc/{daemon.pid}/clear_refs").write_text(
            "5", encoding="ascii")

    def check(self):
        """In MiB."""
        print(f"{self.title}: peak MiB", ", ".join(
            f"{phase} {peak:.0f}" for phase, peak in self.phases), flush=True)
        if SANITIZED:
            return  # their own memory is many times ours
        for phase, peak in self.phases:
            if peak >= LIMIT_MIB:
                raise AssertionError(f"{self.title}, {phase}: {peak:.0f} MiB")


class Place:
    """A spool, a sink that keeps what it gets, daemons one after another."""

    def __init__(self, sink=(), relay="connections = 20;", config=""):
        self.stack = contextlib.ExitStack()
        # Some systems keep /tmp in memory.
        self.directory = tempfile.mkdtemp(
            prefix="large-", dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.stack.callback(shutil.rmtree, self.directory, True)
        self.mail = pathlib.Path(self.directory, "mail")
        self.spool = pathlib.Path(self.directory, "spool", "spool.db")
        self.spool.parent.mkdir(mode=0o700)
        self.sink = self.stack.enter_context(
            Sink("--smtps", "127.0.0.1:0", "--dir", str(self.mail), *sink))
        # A port where nobody listens: a relay that is down.
        dead = self.stack.enter_context(socket.socket())
        dead.bind(("127.0.0.1", 0))
        self.dead = dead.getsockname()
        self.relay = relay
        self.more = config

    def config(self, is_up):
        host, port = self.sink.address("smtps") if is_up else self.dead
        return f"""
listen = ( {{ type = "tcp"; port = 0; }},
           {{ type = "unix"; path = "{self.directory}/sock"; }} );
relays = ( {{ name = "main"; url = "smtps://{host}:{port}";
              ca_file = "{self.sink.ca}"; backoff_first = "20ms";
              backoff_longest = "100ms"; {self.relay} }} );
spool = {{ backend = "sqlite"; path = "{self.spool}"; }};
shutdown = {{ drain = "100ms"; }};
{self.more}
"""

    def start(self, is_up):
        """A daemon; it is ended with the place if not before."""
        daemon = Daemon(self.config(is_up), self.directory)
        self.stack.callback(self.end, daemon)
        return daemon

    @staticmethod
    def end(daemon):
        if not daemon.stopped:
            daemon.stop(signal.SIGKILL)

    def stored(self):
        """The SHA-256 of each message that is a file, by the job's id."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in pathlib.Path(f"{self.spool}.bodies").iterdir()}

    def arrived(self):
        """All messages of the sink, which are removed meanwhile."""
        for path in (self.mail / "new").iterdir():
            head, last, body = path.read_bytes().partition(
                b"X-Envelope-Connection: ")
            path.unlink()
            if not head.startswith(b"X-Envelope-From: ") or not last:
                raise AssertionError(head)
            yield body.partition(b"\r\n")[2]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stack.close()


def hand_in(daemon, count, connections, **fields):
    """Over so many connections at the same time. The number of each job by
    its id; none may be refused."""
    numbers = iter(range(count))
    lock = threading.Lock()
    ids = {}
    problems = []

    def client():
        try:
            with daemon.tcp() as stream:
                stream.socket.settimeout(LONG_S)
                while True:
                    with lock:
                        number = next(numbers, None)
                    if number is None:
                        return
                    answer = say(stream, large(number, **fields))
                    if not answer["ok"]:
                        raise AssertionError(answer)
                    with lock:
                        ids[answer["id"]] = number
        except (OSError, AssertionError, KeyError) as problem:
            problems.append(problem)

    threads = [threading.Thread(target=client) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise AssertionError(problems)
    return ids


def sessions(daemon):
    return daemon.stats()["relays"][0]["sessions"]


def open_jobs(daemon):
    ledger = daemon.stats()["ledger"]
    return ledger["waiting"] + ledger["active"]


def cpu_s(daemon):
    """User and system time of all its threads."""
    text = pathlib.Path(f"/proc/{daemon.pid}/stat").read_text(encoding="ascii")
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def milliseconds(times):
    times = sorted(times)
    return (f"{len(times)} mails, p50 {times[len(times) // 2] * 1000:.0f} ms, "
            f"p90 {times[len(times) * 9 // 10] * 1000:.0f}, "
            f"longest {times[-1] * 1000:.0f}")


class Case(unittest.TestCase):
    def place(self, *sink, **more):
        return self.enterContext(Place(sink, **more))

    def hand_in_and_keep(self, place, memory, count, connections):
        """Jobs that wait, because the relay is down, and a restart. Their
        numbers, and the hashes of their messages."""
        daemon = place.start(is_up=False)
        begun = time.monotonic()
        ids = hand_in(daemon, count, connections)
        print(f"{memory.title}: {count} handed in within "
              f"{time.monotonic() - begun:.1f} s", flush=True)
        memory.take(daemon, "intake")
        self.assertEqual(len(ids), count)
        self.assertEqual(open_jobs(daemon), count)
        hashes = place.stored()
        self.assertEqual(set(hashes), set(ids))
        memory.take(daemon, "waiting")
        self.assertEqual(daemon.stop(), 0)
        daemon = place.start(is_up=False)
        wait_until(lambda: "relay.backing_off" in daemon.log(), "attempts")
        self.assertEqual(open_jobs(daemon), count)
        memory.take(daemon, "restarted")
        self.assertEqual(daemon.stop(), 0)
        return ids, hashes

    def assert_arrived(self, place, ids, hashes=None):
        """Each once, with what the client sent in it; byte for byte."""
        left = dict(ids)
        for message in place.arrived():
            head, _, rest = message.partition(b"\r\n\r\n")
            job = head.partition(b"Message-ID: <")[2].partition(b"@")[0]
            job = job.decode()
            if hashes is not None:
                self.assertEqual(hashlib.sha256(message).hexdigest(),
                                 hashes[job])
            number = left.pop(job)
            text, _, rest = rest.partition(b"base64\r\n\r\n")
            # assertIn would print 25 MiB.
            self.assertTrue(TEXT.replace("\n", "\r\n").encode() in text)
            content = base64.b64decode(rest.partition(b"\r\n--")[0])
            self.assertTrue(content == label(number) + COMMON)
        self.assertEqual(left, {})
        self.assertEqual(place.sink.summary()["duplicates"], 0)

    def deliver(self, place, memory, count):
        """Returns the most sessions that were seen."""
        daemon = place.start(is_up=True)
        begun = time.monotonic()
        most = 0
        while daemon.stats()["ledger"]["delivered"] < count:
            most = max(most, sessions(daemon))
            self.assertLess(time.monotonic(), begun + LONG_S,
                            daemon.log()[-3000:])
            time.sleep(0.02)
        print(f"{memory.title}: delivered within "
              f"{time.monotonic() - begun:.1f} s, {most} sessions", flush=True)
        memory.take(daemon, "delivery")
        self.assertEqual(daemon.stop(), 0)
        return most


class Memories(Case):
    def check(self, title, connections, command, *sink):
        memory = Memory(title)
        place = self.place(*sink)
        ids, hashes = self.hand_in_and_keep(place, memory, JOBS, connections)
        most = self.deliver(place, memory, JOBS)
        commands = {m["command"] for m in place.sink.messages()}
        self.assertEqual(commands, {command})
        self.assert_arrived(place, ids, hashes)
        memory.check()
        return most

    def test_in_chunks(self):
        self.check("4 clients, BDAT", 4, "BDAT")

    def test_to_a_relay_that_is_far_away(self):
        most = self.check("4 clients, 20 ms each way", 4, "BDAT",
                          "--latency", "20ms")
        self.assertEqual(most, min(JOBS, 20))

    def test_with_dots_stuffed_to_a_relay_that_pauses(self):
        self.check("20 clients, DATA, pauses", 20, "DATA",
                   "--without", "CHUNKING",
                   "--fault", "body:after=1000000,rate=0.3,delay=1s")

    def test_while_they_are_handed_in(self):
        memory = Memory("20 clients, BDAT meanwhile")
        place = self.place()
        daemon = place.start(is_up=True)
        ids = hand_in(daemon, JOBS, 20)
        for job in ids:
            self.assertEqual(daemon.settled(job)["state"], "delivered")
        memory.take(daemon, "all")
        self.assert_arrived(place, ids)
        memory.check()


class SmallMails(Case):
    def small(self, daemon, go_on):
        """How long each took from the submit to its delivery."""
        times = []
        with daemon.unix() as client:
            while go_on(times):
                begun = time.monotonic()
                answer = client.ask(mail())
                self.assertTrue(answer["ok"], answer)
                done = client.ask({"op": "wait", "id": answer["id"],
                                   "timeout_ms": DEADLINE_S * 1000})
                self.assertEqual(done["job"]["state"], "delivered")
                times.append(time.monotonic() - begun)
        return times

    def test_they_do_not_wait_while_20_large_are_delivered(self):
        place = self.place("--latency", "20ms", relay="connections = 40;")
        self.hand_in_and_keep(place, Memory("small mails"), 20, 4)
        daemon = place.start(is_up=True)
        begun = time.monotonic()
        beside = self.small(
            daemon, lambda _: place.sink.summary()["bytes"] < 20 * 25 * MIB)
        took = time.monotonic() - begun
        alone = self.small(daemon, lambda times: len(times) < 30)
        print(f"small mails alone: {milliseconds(alone)}\n"
              f"beside 20 large, for {took:.1f} s: {milliseconds(beside)}",
              flush=True)
        self.assertLess(sorted(beside)[len(beside) // 2], 1.0)

    def test_they_are_taken_while_large_are_handed_in(self):
        place = self.place()
        daemon = place.start(is_up=False)
        is_over = threading.Event()
        times = []

        def client():
            with daemon.unix() as stream:
                while not is_over.is_set():
                    begun = time.monotonic()
                    times.append((stream.ask(mail()),
                                  time.monotonic() - begun))
                    is_over.wait(0.01)

        thread = threading.Thread(target=client)
        thread.start()
        begun = cpu_s(daemon)
        try:
            hand_in(daemon, JOBS, 20)
        finally:
            is_over.set()
            thread.join()
        self.assertEqual([answer for answer, _ in times if not answer["ok"]],
                         [])
        print(f"submits beside 20 clients with large ones: "
              f"{milliseconds([took for _, took in times])}; "
              f"{(cpu_s(daemon) - begun) / JOBS * 1000:.0f} ms of CPU for "
              "each large one", flush=True)

    def test_they_do_not_wait_behind_large_that_stall(self):
        stall = "body:from=large@*,after=1000000,stall"
        for unconfirmed, without in ((1, ""), (16, ""), (1, "CHUNKING")):
            options = ["--fault", stall]
            if without:
                options += ["--without", without]
            relay = f"connections = 12; unconfirmed = {unconfirmed};"
            with Place(options, relay=relay) as place:
                daemon = place.start(is_up=True)
                hand_in(daemon, 10, 4, **{"from": "large@example.org"})
                wait_until(lambda: place.sink.summary()["faults"] == 10,
                           "10 large to stall")
                times = self.small(daemon, lambda times: len(times) < 30)
                print(f"beside 10 that stall ({unconfirmed} {without}): "
                      f"{milliseconds(times)}", flush=True)
                self.assertEqual(place.sink.summary()["messages"], 30)


class Limits(Case):
    FRAME = 3 * MIB
    MESSAGE = 2 * MIB

    def setUp(self):
        self.where = self.place(config=f"""
limits = {{ frame = "{self.FRAME}"; message = "{self.MESSAGE}"; }};
""")
        self.daemon = self.where.start(is_up=True)

    def size_of(self, answer):
        return self.daemon.status(answer["id"])["size"]

    @staticmethod
    def text(length):
        """About 186 KB, and so many bytes more."""
        lines = ["x" * 60] * 3000
        for n in range(length // 900):
            lines[n] += "y" * 900
        lines[-1] += "z" * (length % 900)
        return "\n".join(lines) + "\n"

    def check_message(self, **fields):
        """A mail with these fields and a text as long as there is room."""
        with self.daemon.tcp() as client:
            def ask(more):
                return client.ask(mail(text=self.text(more), **fields))

            size = self.size_of(ask(0))
            room = self.MESSAGE - size
            for more in (room - 2, room - 1, room):
                answer = ask(more)
                self.assertTrue(answer["ok"], answer)
                self.assertEqual(self.size_of(answer), size + more)
                self.daemon.settled(answer["id"])
            for more in (room + 1, room + 2, room + 1000):
                answer = ask(more)
                self.assertEqual(answer["error"], "too_large")
                self.assertFalse(answer["retry"])
                self.assertIn(f"larger than {self.MESSAGE} bytes",
                              answer["message"])
            self.assertTrue(client.ask({"op": "ping"})["ok"])
        sizes = [m["size"] for m in self.where.sink.messages()]
        self.assertEqual(sorted(sizes)[-3:],
                         [self.MESSAGE - 2, self.MESSAGE - 1, self.MESSAGE])

    def test_a_text_exactly_as_large_as_allowed(self):
        self.check_message()

    def test_an_attachment_exactly_as_large_as_allowed(self):
        content = base64.b64encode(COMMON[:1300000]).decode()
        self.check_message(attachments=[{"filename": "a", "content": content}])

    def test_a_frame_exactly_as_large_as_allowed(self):
        for framing in ("lines", "lengths"):
            for more, error in ((-1, None), (0, None), (1, "too_large"),
                                (1000, "too_large")):
                with self.subTest(framing=framing, more=more), \
                        self.daemon.tcp(framing) as client:
                    self.check_frame(client, self.FRAME + more, error)

    def check_frame(self, client, length, error):
        frame = b'{"op":"ping"}'.ljust(length)
        if client.framing == "lines":
            client.socket.sendall(frame + b"\n")
        else:
            client.socket.sendall(struct.pack(">I", length) + frame)
        answer = client.reply()
        self.assertEqual(answer.get("error"), error)
        if error:
            self.assertIn("limits.frame", answer["message"])
            self.assertEqual(client.file.read(1), b"")


if __name__ == "__main__":
    unittest.main()
