"""Several relays: one that fails, or says nothing, costs nobody anything."""

import os
import shutil
import socket
import tempfile
import threading
import time
import unittest

from harness import Sink, wait_until
from service import Daemon, mail, relay_text, spool


class Hole:
    """Accepts connections and says nothing, until it is closed."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.taken = []
        self.connections = 0
        self.most = 0  # that were open at one time
        self.open = set()
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                taken, _ = self.server.accept()
            except OSError:
                return
            with self.lock:
                self.taken.append(taken)
                self.connections += 1
                self.open.add(taken)
                self.most = max(self.most, len(self.open))
            threading.Thread(target=self.read, args=(taken,),
                             daemon=True).start()

    def read(self, taken):
        try:
            while taken.recv(65536):
                pass
        except OSError:
            pass
        with self.lock:
            self.open.discard(taken)

    def address(self):
        return self.server.getsockname()

    def forget_most(self):
        with self.lock:
            self.most = len(self.open)

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for taken in self.taken:
            taken.close()


class Town:
    """Some relays, and a daemon that has them in one route, in order."""

    def __init__(self, route="", retry=""):
        self.directory = tempfile.mkdtemp(prefix="relays-")
        self.route = route
        self.retry = retry
        self.relays = []
        self.parts = []

    def add(self, name, address, settings=""):
        self.relays.append(relay_text(name, "smtps", address, settings))

    def add_sink(self, name, *options, settings="", address="127.0.0.1:0"):
        sink = Sink("--smtps", address, "--dir",
                    os.path.join(self.directory, name), *options)
        self.parts.append(sink)
        self.add(name, sink.address("smtps"),
                 f'ca_file = "{sink.ca}"; {settings}')
        return sink

    def add_hole(self, name, settings=""):
        hole = Hole()
        self.parts.append(hole)
        self.add(name, hole.address(), settings)
        return hole

    def start(self):
        names = ", ".join(text.split('"')[1] for text in self.relays)
        quoted = ", ".join(f'"{name}"' for name in names.split(", "))
        self.daemon = Daemon(f"""
listen = ( {{ type = "tcp"; port = 0; }},
           {{ type = "unix"; path = "{self.directory}/sock"; }} );
relays = ( {", ".join(self.relays)} );
routes = ( {{ name = "default"; relays = [ {quoted} ]; {self.route} }} );
retry = {{ {self.retry} }};
{spool(self.directory)}
shutdown = {{ drain = "300ms"; }};
""", self.directory)
        self.parts.append(self.daemon)
        return self.daemon

    def states(self):
        return {r["name"]: r["state"] for r in self.daemon.stats()["relays"]}

    def stop(self):
        status = 0
        for part in reversed(self.parts):
            if isinstance(part, Daemon):
                status = part.stop()
            elif isinstance(part, Sink):
                part.__exit__(None, None, None)
            else:
                part.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if status != 0:
            raise AssertionError(f"postriderd ended with {status}:\n"
                                 f"{self.daemon.log()[-4000:]}")


class Test(unittest.TestCase):
    def town(self, **settings):
        town = Town(**settings)
        self.addCleanup(town.stop)
        return town

    def check_delivered(self, status, relay):
        self.assertEqual(status["state"], "delivered", status)
        self.assertEqual(status["attempts"], 1, status)
        self.assertEqual({r["relay"] for r in status["recipients"]}, {relay})
        self.assertEqual({r["attempts"] for r in status["recipients"]}, {1})


class BlackHole(Test):
    """The first of two relays takes connections and says nothing."""

    def test_all_mails_take_the_other_and_probes_disturb_nobody(self):
        town = self.town()
        hole = town.add_hole("hole", 'connections = 4; backoff_first = '
                             '"100ms"; backoff_longest = "100ms"; '
                             'connect_timeout = "1s";')
        good = town.add_sink("good")
        daemon = town.start()
        with daemon.tcp() as client:
            first = client.ask_all([mail(subject=f"first {n}")
                                    for n in range(100)])
            for answer in first:
                self.check_delivered(daemon.settled(answer["id"]), "good")
            self.assertEqual(town.states()["good"], "ready")
            # From now on its probes go on, one after the other.
            wait_until(lambda: len(hole.open) <= 1, "the first sessions' end")
            hole.forget_most()
            before = hole.connections
            slowest = 0
            sent = 0
            while hole.connections < before + 4:
                begun = time.monotonic()
                answer = client.ask(mail(subject=f"later {sent}"))
                self.check_delivered(daemon.settled(answer["id"]), "good")
                slowest = max(slowest, time.monotonic() - begun)
                sent += 1
        self.assertLess(slowest, 0.8)
        self.assertGreater(sent, 20)
        self.assertEqual(hole.most, 1)
        summary = good.summary()
        self.assertEqual(summary["messages"], 100 + sent)
        self.assertEqual(summary["duplicates"], 0)
        self.assertIn("event=relay.backing_off relay=hole", daemon.log())
        self.assertNotIn("event=relay.ready relay=hole", daemon.log())

    def test_only_relay_of_a_route_keeps_its_jobs_without_an_attempt(self):
        town = self.town()
        town.add_hole("hole", 'backoff_first = "50ms"; connect_timeout = '
                      '"1s"; backoff_longest = "50ms";')
        daemon = town.start()
        with daemon.tcp() as client:
            jobs = [client.ask(mail())["id"] for _ in range(10)]
            daemon.wait_log("event=relay.backing_off relay=hole")
            wait_until(lambda: daemon.log().count("relay.backing_off") >= 3,
                       "three failures")
        for job in jobs:
            status = daemon.status(job)
            self.assertIn(status["state"], ("queued", "active"))
            self.assertEqual(status["attempts"], 0)
        ledger = daemon.stats()["ledger"]
        self.assertEqual(ledger["waiting"] + ledger["active"], 10)


# what the sink of the first relay does, a word of its last error
TROUBLES = {
    "wrong password": (("--auth", "app:other", "--require-auth"), "password"),
    "no AUTH": (("--without", "AUTH"), "AUTH"),
    "expired certificate": (("--bad-cert", "expired"), "expired"),
    "421 greeting": (("--fault", "connect:reply=421 4.3.2 Full"), "421"),
    "554 greeting": (("--fault", "connect:reply=554 5.3.2 No"), "554"),
    "dropped greeting": (("--fault", "connect:drop"), "closed"),
    "refused EHLO": (("--fault", "ehlo:reply=550 5.3.2 No"), "550"),
    "530 to MAIL": (("--fault", "mail:reply=530 5.7.0 Log in"), "530"),
}


class Failover(Test):
    """The first relay fails: the next takes all, at once and for nothing."""

    def check(self, sink, word):
        town = self.town()
        password = os.path.join(town.directory, "password")
        with open(password, "w", encoding="utf-8") as file:
            file.write("secret\n")
        os.chmod(password, 0o600)
        login = f'username = "app"; password_file = "{password}"; '
        first = town.add_sink("first", *sink, settings=login +
                              'backoff_first = "50ms"; '
                              'backoff_longest = "50ms";')
        good = town.add_sink("good", "--auth", "app:secret", settings=login)
        daemon = town.start()
        with daemon.tcp() as client:
            for answer in client.ask_all([mail() for _ in range(50)]):
                self.check_delivered(daemon.settled(answer["id"]), "good")
            sent = 50
            while daemon.log().count(
                    "event=relay.backing_off relay=first") < 4:
                answer = client.ask(mail())
                self.check_delivered(daemon.settled(answer["id"]), "good")
                sent += 1
        failures = [line for line in daemon.log().splitlines()
                    if "event=relay.backing_off relay=first" in line]
        self.assertTrue(all(word in line for line in failures), failures)
        self.assertEqual(first.summary()["messages"], 0)
        self.assertEqual(good.summary()["messages"], sent)

    def test_a_relay_that_comes_back_is_used_again(self):
        town = self.town()
        placeholder = socket.socket()
        placeholder.bind(("127.0.0.1", 0))
        self.addCleanup(placeholder.close)
        host, port = placeholder.getsockname()
        town.add("first", (host, port), 'verify = false; backoff_first = '
                 '"100ms"; backoff_longest = "100ms";')
        town.add_sink("good")
        daemon = town.start()
        with daemon.tcp() as client:
            for answer in client.ask_all([mail() for _ in range(20)]):
                self.check_delivered(daemon.settled(answer["id"]), "good")
            self.assertEqual(town.states()["good"], "ready")
            placeholder.close()
            first = Sink("--smtps", f"{host}:{port}")
            town.parts.append(first)
            # Without a single mail for it.
            daemon.wait_log("event=relay.ready relay=first")
            for answer in client.ask_all([mail() for _ in range(20)]):
                self.check_delivered(daemon.settled(answer["id"]), "first")
        self.assertEqual(town.states(), {"first": "ready", "good": "ready"})
        self.assertEqual(first.summary()["messages"], 20)

    def test_weights_share_the_mails_out(self):
        town = self.town(route="weights = [ 3, 1 ];")
        sinks = [town.add_sink(name) for name in ("a", "b")]
        daemon = town.start()
        with daemon.tcp() as client:
            for answer in client.ask_all([mail() for _ in range(200)]):
                daemon.settled(answer["id"])
        self.assertEqual([s.summary()["messages"] for s in sinks], [150, 50])

    def test_a_name_is_delivered_to_whichever_of_its_addresses_works(self):
        """localhost is ::1 as well, where nobody listens."""
        town = self.town()
        sink = town.add_sink("main")
        port = sink.address("smtps")[1]
        town.relays = [relay_text("main", "smtps", ("localhost", port),
                                  f'ca_file = "{sink.ca}";')]
        daemon = town.start()
        with daemon.tcp() as client:
            for answer in client.ask_all([mail() for _ in range(50)]):
                self.check_delivered(daemon.settled(answer["id"]), "main")
        self.assertNotIn("backing_off", daemon.log())


def add_trouble(name, sink, word):
    def test(self):
        self.check(sink, word)
    setattr(Failover, "test_" + name.replace(" ", "_"), test)


for trouble_name, (trouble_sink, trouble_word) in TROUBLES.items():
    add_trouble(trouble_name, trouble_sink, trouble_word)


# fault of the sink for mails to poison@
POISONS = {
    "recipient refused": "rcpt:match=poison@*,reply=550 5.1.1 Nobody",
    "recipient put off": "rcpt:match=poison@*,reply=450 4.2.1 Busy",
    "message refused": "final:match=poison@*,reply=554 5.6.0 Spam",
    "message put off": "final:match=poison@*,reply=451 4.3.0 Later",
    "session ended at RCPT":
        "rcpt:match=poison@*,reply=421 4.3.2 Closing",
    "dropped at RCPT": "rcpt:match=poison@*,drop",
    "dropped at DATA": "data:match=poison@*,drop",
    "dropped in the body": "body:match=poison@*,drop",
    "reset in the body": "body:match=poison@*,reset",
    "dropped before the answer": "final:match=poison@*,discard,drop",
}


# settings of the relay: how it is spoken to
MANNERS = {"in chunks": "", "in a chain": "chunking = false;",
           "one by one": "chunking = false; pipelining = false;"}


class Poison(Test):
    """A bad recipient or message takes no relay down."""

    def check(self, fault, manner):
        town = self.town(retry='first = "100ms"; longest = "100ms";')
        sink = town.add_sink("main", "--fault", fault,
                             settings=f"connections = 2; {manner}")
        daemon = town.start()
        with daemon.tcp() as client:
            bad = []
            for n in range(20):
                bad.append(client.ask(mail(to="poison@example.net"))["id"])
                answer = client.ask(mail(subject=f"good {n}"))
                status = daemon.settled(answer["id"])
                self.assertEqual(status["state"], "delivered")
            for job in bad:
                wait_until(lambda: daemon.status(job)["attempts"] >= 1,
                           "the attempt")
                self.assertNotEqual(daemon.status(job)["state"], "delivered")
        self.assertNotIn("relay.backing_off", daemon.log())
        self.assertEqual(town.states(), {"main": "ready"})
        self.assertEqual(sink.summary()["messages"], 20)


def add_poison(name, fault, manner):
    def test(self):
        self.check(fault, manner)
    setattr(Poison, "test_" + name.replace(" ", "_"), test)


for manner_name, poison_manner in MANNERS.items():
    for poison_name, poison_fault in POISONS.items():
        # Chunks come without DATA.
        if not (poison_manner == "" and poison_fault.startswith("data:")):
            add_poison(f"{poison_name} {manner_name}", poison_fault,
                       poison_manner)


if __name__ == "__main__":
    unittest.main()
