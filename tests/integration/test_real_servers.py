"""Delivery to Postfix and to Exim: every mail once, byte for byte.

The jobs are handed over before there is a relay. Their messages, as composed,
are then in the spool, where they are read from for comparison; each test
starts a daemon on a copy of that spool.
"""

import base64
import collections
import contextlib
import datetime
import os
import pathlib
import random
import shutil
import sqlite3
import tempfile
import unittest

from exim_server import Exim
from harness import wait_until
from postfix_server import Postfix
from real_server import PASSWORD
from service import Daemon, mail, relay_text

JOBS = 500
PEOPLE = ["ann", "bob", "cem", "dora", "eve", "finn", "gus", "hana"]
UNKNOWN = "unknown@example.net"  # refused by the servers, for good
LATER = "later@example.net"      # and this one for now
OUTCOMES = {UNKNOWN: ("failed", "550"), LATER: ("deferred", "45")}

# What servers put in front of a message.
ADDED = ("return-path", "received", "delivered-to", "x-original-to",
         "envelope-to", "delivery-date")


def text_of(number, dice):
    """Lines with dots in front, long ones, and ones that are not ASCII."""
    lines = []
    size = dice.choice((0, 100, 1000, 2000, 2000, 5000, 20000))
    while sum(map(len, lines)) < size:
        lines.append(dice.choice((
            ".", "..", ".dot in front", "", "From the start of a line",
            "x" * dice.choice((75, 76, 77, 78, 79, 500)),
            "a line with words " * dice.randint(1, 5), "trailing blank ",
            f"{number}")))
    if number % 3 == 0:
        lines.append("Grüße, ☕ und mehr")
    if number % 11 == 0:
        lines.append("y" * dice.choice((997, 998, 999, 3000)))
    return "\n".join(lines + ["."] * (number % 4)) + "\n" * (number % 2)


def job_of(number, dice):
    person = [f"{name}@example.net" for name in PEOPLE]
    dice.shuffle(person)
    fields = {"to": person[:1], "subject": f"Mail {number}",
              "text": text_of(number, dice)}
    if number % 10 == 1:
        fields.update(to=person[:3], cc=person[3], bcc=person[4])
    if number % 7 == 2:
        fields["to"] = [UNKNOWN, *fields["to"]]
    if number % 25 == 3:
        fields["to"] = UNKNOWN
    if number % 100 == 4:
        fields["to"] = [person[0], LATER, person[1]]
    if number % 9 == 5:
        fields["html"] = "<p>Grüße</p>\n.\n"
        fields["subject"] = "Grüße " + "lang " * 30
    if number == JOBS // 2:
        fields["attachments"] = [
            {"filename": "large.bin",
             "content": base64.b64encode(dice.randbytes(1500000)).decode()}]
    if number == JOBS // 3:
        fields["text"] = "..a line\n.\n" * 30000
    return mail(**fields)


def without_added(message):
    """The message as it came to the server."""
    lines = message.splitlines(keepends=True)
    n = 0
    while n < len(lines):
        if lines[n].split(b":")[0].decode("latin-1").lower() not in ADDED:
            break
        n += 1
        while n < len(lines) and lines[n][:1] in b" \t":
            n += 1
    return b"".join(lines[n:])


class Prepared:
    """A spool with jobs, in a directory, and what is to come of them."""

    def __init__(self, directory, count):
        self.directory = directory
        dice = random.Random(5321)
        jobs = [job_of(n, dice) for n in range(count)]
        daemon = Daemon(config(directory, "smtps", ("127.0.0.1", 9), ""),
                        directory)
        try:
            # Due when the first server is there, not before.
            at = (datetime.datetime.now(datetime.timezone.utc) +
                  datetime.timedelta(seconds=4))
            with daemon.tcp() as client:
                answers = client.ask_all([{**job, "send_at": at.isoformat()}
                                          for job in jobs])
            self.ids = [answer["id"] for answer in answers]
        finally:
            if daemon.stop() != 0:
                raise AssertionError(daemon.log()[-3000:])
        self.recipients = {}
        self.later = sum(LATER in job["to"] for job in jobs)
        self.refused = sum(UNKNOWN == job["to"] for job in jobs)
        self.expected = collections.Counter()
        messages = self.read()
        for number, job in zip(self.ids, jobs):
            people = [*([job["to"]] if isinstance(job["to"], str)
                        else job["to"])]
            people += [job[kind] for kind in ("cc", "bcc") if kind in job]
            self.recipients[number] = people
            for person in people:
                if person not in OUTCOMES:
                    self.expected[person, messages[number]] += 1

    def read(self):
        """{job: its message}, with the line ends that files have."""
        messages = {}
        with contextlib.closing(sqlite3.connect(
                os.path.join(self.directory, "spool.db"))) as db:
            rows = db.execute("SELECT id, body_bytes, bytes FROM job"
                              " LEFT JOIN body USING (seq)").fetchall()
        for number, size, message in rows:
            if message is None:
                message = pathlib.Path(self.directory, "spool.db.bodies",
                                       number).read_bytes()
            if len(message) != size or b"\n" in message.replace(b"\r\n", b""):
                raise AssertionError((number, size, message[:1000]))
            messages[number] = message.replace(b"\r\n", b"\n")
        if sorted(messages) != sorted(self.ids):
            raise AssertionError("the spool does not have the jobs")
        return messages

    def copy(self, directory):
        shutil.copytree(self.directory, directory, dirs_exist_ok=True)


def config(directory, kind, address, relay, retry="1h"):
    password = pathlib.Path(directory, "password")
    password.write_text(PASSWORD + "\n", encoding="utf-8")
    password.chmod(0o600)
    settings = f'username = "app"; password_file = "{password}"; {relay}'
    return f"""
listen = ( {{ type = "tcp"; port = 0; }},
           {{ type = "unix"; path = "{directory}/sock"; }} );
relays = ( {relay_text("main", kind, address, settings)} );
spool = {{ backend = "sqlite"; path = "{directory}/spool.db"; }};
retry = {{ first = "{retry}"; }};
shutdown = {{ drain = "5s"; }};
"""


def scratch():
    directory = tempfile.TemporaryDirectory(prefix="real-servers-")
    unittest.addModuleCleanup(directory.cleanup)
    return directory.name


# Manners of speaking; 6 connections stand for many.
MANNERS = {
    "chunks_one_connection": "connections = 1;",
    "chunks_eight_unconfirmed": "connections = 1; unconfirmed = 8;",
    "chunks_many_connections": "connections = 6; unconfirmed = 8;",
    "pipelined_one_connection": "connections = 1; chunking = false;",
    "pipelined_many_connections": "connections = 6; chunking = false;",
    "one_by_one_many_connections": "connections = 6; pipelining = false;",
}

PREPARED = None


def setUpModule():
    global PREPARED
    PREPARED = Prepared(scratch(), JOBS)


class Server:
    """What is tested with every server; subclasses say which."""

    kind = None

    @classmethod
    def setUpClass(cls):
        cls.server = cls.kind(PEOPLE)
        cls.addClassCleanup(cls.server.stop)

    def start(self, service, relay, prepared=None, **settings):
        """A daemon in front of that service; it is ended by the test."""
        directory = tempfile.TemporaryDirectory(prefix="daemon-")
        self.addCleanup(directory.cleanup)
        if prepared:
            prepared.copy(directory.name)
        daemon = Daemon(config(
            directory.name, "smtps" if service == "smtps" else "starttls",
            self.server.address(service),
            f'{relay} ca_file = "{self.server.certificate}";', **settings),
            directory.name)
        self.addCleanup(daemon.stop)
        return daemon

    def empty(self):
        """What an earlier test left is none of our business."""
        self.server.flush()
        wait_until(lambda: not self.server.waiting(), "the server's queue", 60)
        self.server.empty()
        self.server.mark()

    def deliver(self, service, relay):
        self.empty()
        daemon = self.start(service, relay, PREPARED)

        def settled():
            ledger = daemon.stats()["ledger"]
            return (ledger["active"] == 0 and
                    ledger["waiting"] == PREPARED.later and
                    ledger["delivered"] + ledger["failed"] ==
                    JOBS - PREPARED.later)
        try:
            wait_until(settled, "all jobs settled", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}: {daemon.stats()}\n"
                                 f"{daemon.log()[-3000:]}\n"
                                 f"{self.server.log()[-3000:]}") from None
        self.check_outcomes(daemon)
        sessions = daemon.stats()["counters"]["sessions_opened"]
        self.assertEqual(daemon.stop(), 0)
        self.check_mail()
        if "connections = 1;" in relay:
            self.assertEqual(sessions, 1)
        taken = JOBS - PREPARED.refused
        chunks = taken if "ing = false" not in relay else 0
        wait_until(lambda: self.server.seen()["messages"] == taken,
                   "what the server says it took")
        self.assertEqual(self.server.seen()["chunks"], chunks)

    def check_outcomes(self, daemon):
        with daemon.unix() as client:
            answers = client.ask_all([{"op": "status", "id": number}
                                      for number in PREPARED.ids])
        for answer in answers:
            job = answer["job"]
            self.assertEqual([r["address"] for r in job["recipients"]],
                             PREPARED.recipients[job["id"]])
            self.assertEqual(job["attempts"], 1, job)
            for recipient in job["recipients"]:
                state, reply = OUTCOMES.get(recipient["address"],
                                            ("delivered", "250"))
                self.assertEqual(recipient["state"], state, job)
                self.assertTrue(recipient["reply"].startswith(reply), job)

    def check_mail(self):
        """Who was to get it got it once, and nothing else came."""
        self.server.flush()
        wait_until(lambda: not self.server.waiting(), "the server's queue", 60)
        found = collections.Counter(
            (person, without_added(message))
            for person, messages in self.server.mail().items()
            for message in messages)
        lost, more = PREPARED.expected - found, found - PREPARED.expected
        if lost or more:
            self.fail(f"{len(lost)} lost, {len(more)} that were not sent:\n"
                      f"{[(p, m[:2000]) for p, m in list(lost)[:1]]}\n"
                      f"{[(p, m[:2000]) for p, m in list(more)[:1]]}")

    def send(self, daemon, count, to=lambda n: "ann@example.net"):
        """Small mails; their jobs when they are settled."""
        with daemon.tcp() as client:
            answers = client.ask_all([mail(subject=f"mail {n}", to=to(n))
                                      for n in range(count)])
        return [daemon.settled(answer["id"]) for answer in answers]

    def check_subjects(self, numbers):
        """ann has these mails of send(), each once."""
        self.server.flush()
        wait_until(lambda: not self.server.waiting(), "the server's queue")
        found = [line for message in self.server.mail()["ann@example.net"]
                 for line in message.splitlines()
                 if line.startswith(b"Subject: mail ")]
        self.assertEqual(sorted(found), sorted(
            b"Subject: mail %d" % n for n in numbers))

    def check_delivered(self, jobs):
        for job in jobs:
            self.assertEqual((job["state"], job["attempts"]),
                             ("delivered", 1), job)
        self.check_subjects(range(len(jobs)))


def add_manner(number, name, relay):
    def test(self):
        self.deliver(("smtps", "submission")[number % 2], relay)
    setattr(Server, "test_" + name, test)


for manner_number, (manner, manner_relay) in enumerate(MANNERS.items()):
    add_manner(manner_number, manner, manner_relay)


class WithExim(Server, unittest.TestCase):
    kind = Exim

    def test_a_session_ended_for_too_many_resets_is_made_up_for(self):
        """Exim does not read on, and what lay there is sent again."""
        self.empty()
        daemon = self.start("strict", "connections = 1; unconfirmed = 8;",
                            retry="50ms")
        jobs = self.send(daemon, 120,
                         lambda n: UNKNOWN if n % 3 else "ann@example.net")
        for n, job in enumerate(jobs):
            self.assertEqual(job["state"],
                             "failed" if n % 3 else "delivered", job)
        self.assertIn("closed the connection", daemon.log())
        self.assertIn("too many nonmail commands", self.server.log())
        self.check_subjects(range(0, 120, 3))


class WithPostfix(Server, unittest.TestCase):
    kind = Postfix

    def test_more_connections_than_it_takes_cost_no_attempt(self):
        self.empty()
        daemon = self.start("crowded", 'connections = 8; '
                            'backoff_first = "50ms";')
        self.check_delivered(self.send(daemon, 200))
        self.assertIn("too many connections", daemon.log())

    def test_more_mail_than_it_takes_slows_the_relay_down(self):
        self.empty()
        daemon = self.start("hasty", "connections = 2;")
        self.check_delivered(self.send(daemon, 24))
        self.assertIn("relay.slowed", daemon.log())
        self.assertIn("too much mail", daemon.log())
        (relay,) = daemon.stats()["relays"]
        self.assertGreater(relay["throttled"], 0)
        self.assertEqual(relay["deferred"], 0)


if __name__ == "__main__":
    unittest.main()
