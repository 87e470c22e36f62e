"""Clients that hand over mail, whatever becomes of the daemon meanwhile."""

import collections
import itertools
import random
import socket
import threading
import time

from checker import Job
from service import Stream, mail

BIG_BYTES = 1 << 20
WINDOW_MAX = 24
# Where the sink refuses for good, now and then, or keeps its answer back.
REFUSED, LATER, SILENT = "refused", "later", "silent"


def text_of(name, size):
    """The body of a mail: long lines of its own, as many as are needed."""
    lines = (f"{name} line {n}: the quick brown fox jumps over the lazy dog\n"
             for n in itertools.count())
    taken = 0
    text = []
    while taken < size:
        text.append(next(lines))
        taken += len(text[-1])
    return "".join(text)


class Door:
    """Where the daemon of the moment can be reached; nowhere between two."""

    def __init__(self):
        self.changed = threading.Condition()
        self.daemon = None
        self.life = None

    def open(self, daemon, life):
        with self.changed:
            self.daemon, self.life = daemon, life
            self.changed.notify_all()

    def close(self):
        self.open(None, None)

    def wait(self, timeout_s):
        with self.changed:
            self.changed.wait_for(lambda: self.daemon is not None, timeout_s)
            return self.daemon, self.life


class Ledger:
    """All jobs of all clients: what was handed over, what was answered."""

    def __init__(self):
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)
        self.jobs = {}
        self.sizes = {}         # of the text of each job
        self.refusals = []      # answers that no client should get
        self.first_ok = {}      # of a life: when its first "ok" came
        self.found_again = 0    # handed over again: it was there already
        self.asked_again = 0    # of those: although it had been answered

    def new(self, rng):
        with self.lock:
            name = f"m{next(self.numbers):07d}"
        recipients = {}
        for n in range(rng.choice((1, 1, 1, 1, 2, 3, 5))):
            kind = rng.choices(("good", REFUSED, LATER, SILENT),
                               (85, 6, 7, 2))[0]
            recipients[f"{kind}-{n}-{name}@example.net"] = (
                REFUSED if kind == REFUSED else "good")
        job = Job(name, recipients, hold=rng.random() < 0.15)
        if rng.random() < 0.6:
            job.key = f"key of {name}"
        size = (rng.randrange(BIG_BYTES, BIG_BYTES + 200000)
                if rng.random() < 0.01 else rng.randrange(20, 3000))
        request = mail(**{"from": f"{name}@load.test",
                          "to": list(recipients), "subject": f"Mail {name}",
                          "text": text_of(name, size),
                          "on_unknown": "hold" if job.hold else "retry",
                          "priority": rng.choice(("high", "normal", "low")),
                          "tag": "crash", "ref": name})
        if job.key:
            request["idempotency_key"] = job.key
        with self.lock:
            self.jobs[name] = job
            self.sizes[name] = size
        return job, request

    def answered(self, job, answer, life):
        """Whether the job has to be handed over again."""
        if answer.get("ref") != job.name:
            self.refusals.append((job.name, answer))
            return False
        if not answer["ok"]:
            if not answer["retry"]:
                self.refusals.append((job.name, answer))
            return answer["retry"]
        with self.lock:
            self.found_again += answer.get("duplicate", False)
            self.asked_again += len(job.ids) > 0
            job.ids.append(answer["id"])
            self.first_ok.setdefault(life, time.time())
        return False


class Client(threading.Thread):
    """Hands over mail until finish(), then what is still open, and ends."""

    def __init__(self, ledger, door, number, seed, rate):
        super().__init__(daemon=True)
        self.ledger = ledger
        self.door = door
        self.rng = random.Random(f"{seed}/{number}")
        self.rate = rate
        self.over_unix = number % 2 == 0
        self.framing = "lines" if number % 4 < 2 else "length"
        self.again = []
        self.known = collections.deque(maxlen=200)
        self.enough = threading.Event()
        self.give_up = threading.Event()
        self.failure = None

    def finish(self):
        self.enough.set()

    def run(self):
        try:
            while not self.done():
                daemon, life = self.door.wait(0.2)
                if daemon is not None:
                    self.visit(daemon, life)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = repr(error)

    def done(self):
        return self.give_up.is_set() or (self.enough.is_set() and
                                         not self.again)

    def connect(self, daemon):
        return (daemon.unix(self.framing) if self.over_unix
                else daemon.tcp(self.framing))

    def visit(self, daemon, life):
        """One connection, until it breaks or all is done."""
        try:
            stream = self.connect(daemon)
        except OSError:
            self.enough.wait(0.01)
            return
        with stream:
            while not self.done():
                batch = self.batch()
                if not self.hand_over(stream, batch, life):
                    return
                self.enough.wait(len(batch) / self.rate)

    def batch(self):
        size = self.rng.randint(1, WINDOW_MAX)
        batch, self.again = self.again[:size], self.again[size:]
        while len(batch) < size and not self.enough.is_set():
            # Now and then one that was answered, perhaps lives ago.
            if self.known and self.rng.random() < 0.03:
                batch.append(self.rng.choice(self.known))
            else:
                batch.append(self.ledger.new(self.rng))
        return batch

    def hand_over(self, stream, batch, life):
        """Pipelined. False: the connection broke; jobs with a key go again,
        of the others nobody knows."""
        answered = 0
        try:
            for _, request in batch:
                stream.send(request)
            for job, request in batch:
                answer = stream.reply()
                answered += 1
                if self.ledger.answered(job, answer, life):
                    self.again.append((job, request))
                elif job.key:
                    self.known.append((job, request))
            return True
        except (OSError, AssertionError, ValueError, socket.timeout):
            self.again += [(job, request) for job, request in batch[answered:]
                           if job.key]
            return False


class Load:
    """Some clients; their rate is that of all together."""

    def __init__(self, seed, clients, rate):
        self.ledger = Ledger()
        self.door = Door()
        self.clients = [Client(self.ledger, self.door, n, seed,
                               rate / clients) for n in range(clients)]
        for client in self.clients:
            client.start()

    def finish(self, deadline_s):
        """False: some job could not be handed over."""
        for client in self.clients:
            client.finish()
        end = time.monotonic() + deadline_s
        for client in self.clients:
            client.join(max(0.0, end - time.monotonic()))
        return not any(client.is_alive() for client in self.clients)

    def failures(self):
        return [client.failure for client in self.clients if client.failure]

    def abandon(self):
        self.door.close()
        for client in self.clients:
            client.give_up.set()
            client.finish()
        for client in self.clients:
            client.join(30)


# What the sink does to them, beside its ordinary service.
FAULTS = (
    f"rcpt:match={REFUSED}-*,reply=550 5.1.1 No such user",
    f"rcpt:match={LATER}-*,rate=0.5,reply=450 4.2.1 Come again",
    f"final:match={SILENT}-*,rate=0.5,drop",
    "connect:rate=0.03,reply=421 4.3.2 Not now",
    "mail:rate=0.02,reply=451 4.3.0 Not this one",
    "data:rate=0.01,drop",
    "body:rate=0.02,after=600,reset",
    "final:rate=0.02,reply=452 4.3.1 No room",
    "final:rate=0.01,discard,drop",
)
HEALTHY = FAULTS[:1]
