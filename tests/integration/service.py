"""postriderd in front of postrider-sink, as the integration tests need it."""

import email
import email.policy
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import tempfile

from harness import DEADLINE_S, Program, Sink, binary, wait_until

SETTLED = ("delivered", "failed", "expired", "cancelled", "held")
PASSWORD = "pass word;very-secret"


BACKEND = os.environ.get("POSTRIDER_SPOOL", "sqlite")
DURABLE = "disk" if BACKEND == "sqlite" else "memory"


def spool(directory, more=""):
    """The group spool of a config, for the backend under test."""
    path = f'path = "{directory}/spool.db";' if BACKEND == "sqlite" else ""
    return f'spool = {{ backend = "{BACKEND}"; {path} {more} }};\n'


def mail(**fields):
    """A small job; fields replace or add."""
    return {"from": "shop@example.org", "to": "ann@example.net",
            "subject": "Hello", "text": "Hello, world.\n", **fields}


class Stream:
    """A client on a TCP or Unix stream, in one of the two framings."""

    def __init__(self, connected, framing):
        self.socket = connected
        self.socket.settimeout(DEADLINE_S)
        self.file = connected.makefile("rb")
        self.framing = framing

    def send(self, request):
        data = json.dumps(request).encode()
        if self.framing == "lines":
            self.socket.sendall(data + b"\n")
        else:
            self.socket.sendall(struct.pack(">I", len(data)) + data)

    def reply(self):
        if self.framing == "lines":
            line = self.file.readline()
        else:
            head = self.file.read(4)
            line = self.file.read(struct.unpack(">I", head)[0]) if head else b""
        if not line:
            raise AssertionError("the daemon closed the connection")
        return json.loads(line)

    def ask(self, request):
        self.send(request)
        return self.reply()

    def ask_all(self, requests, window=32):
        """Pipelined, with at most window requests not answered."""
        answers = []
        for n, request in enumerate(requests):
            self.send(request)
            if n >= window:
                answers.append(self.reply())
        while len(answers) < len(requests):
            answers.append(self.reply())
        return answers

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.file.close()
        self.socket.close()


class Datagram:
    def __init__(self, address):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(address)

    def ask(self, request):
        self.socket.send(json.dumps(request).encode())
        return json.loads(self.socket.recv(65535))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()


class Daemon(Program):
    """postriderd with a configuration, and clients of it."""

    def __init__(self, config, directory, env=None, wait_ready=True):
        self.path = os.path.join(directory, "postrider.conf")
        pathlib.Path(self.path).write_text(config, encoding="utf-8")
        super().__init__([binary("postriderd"), "-c", self.path],
                         self.is_ready, "stderr", env=env,
                         wait_ready=wait_ready)
        if wait_ready:
            self.find_doors()

    @staticmethod
    def is_ready(line):
        return " event=ready " in line

    def find_doors(self):
        listen = re.search(r'listen="?([^" ]+)', self.ready_line).group(1)
        self.doors = [door.split(":", 1) for door in listen.split(",")]

    def address(self, kind):
        text = [rest for name, rest in self.doors if name == kind][0]
        if kind == "unix":
            return text
        host, port = text.rsplit(":", 1)
        return host, int(port)

    def tcp(self, framing="lines"):
        return Stream(socket.create_connection(self.address("tcp"),
                                               DEADLINE_S), framing)

    def unix(self, framing="lines"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(DEADLINE_S)
        s.connect(self.address("unix"))
        return Stream(s, framing)

    def udp(self):
        return Datagram(self.address("udp"))

    def log(self):
        return "\n".join(self.written["stderr"])

    def wait_log(self, text):
        wait_until(lambda: text in self.log(), f"{text} in the log")

    def stats(self):
        with self.unix() as client:
            return client.ask({"op": "stats"})

    def status(self, job):
        with self.unix() as client:
            answer = client.ask({"op": "status", "id": job})
        if not answer["ok"]:
            raise AssertionError(answer)
        return answer["job"]

    def settled(self, job):
        """Waits until the job is settled (or held); its status."""
        with self.unix() as client:
            answer = client.ask({"op": "wait", "id": job,
                                 "timeout_ms": DEADLINE_S * 1000})
        if not answer["ok"] or answer["job"]["state"] not in SETTLED:
            raise AssertionError((answer, self.log()[-3000:]))
        return answer["job"]


def relay_text(name, kind, address, settings):
    scheme = "smtps" if kind == "smtps" else "smtp"
    return (f'{{ name = "{name}"; url = "{scheme}://{address[0]}:{address[1]}";'
            f' {settings} }}')


class Service:
    """A sink, a daemon that delivers to it, and what both say.

    sink: more options of the sink; relay, retry, config: more settings.
    """

    def __init__(self, sink=(), kind="smtps", relay="", retry="", config="",
                 sink_auth=True, first_relay_dead=False, silent_relay=False):
        self.directory = tempfile.mkdtemp(prefix="service-")
        self.parts = []
        try:
            self.start(list(sink), kind, relay, retry, config, sink_auth,
                       first_relay_dead, silent_relay)
        except BaseException:
            self.stop()
            raise

    def start(self, sink, kind, relay, retry, config, sink_auth,
              first_relay_dead, silent_relay):
        if sink_auth:
            sink += ["--auth", f"app:{PASSWORD}", "--require-auth"]
        self.sink = Sink("--" + kind, "127.0.0.1:0", "--dir",
                         os.path.join(self.directory, "mail"), *sink)
        self.parts.append(self.sink)
        password = os.path.join(self.directory, "password")
        pathlib.Path(password).write_text(PASSWORD + "\n", encoding="utf-8")
        os.chmod(password, 0o600)
        settings = (f'username = "app"; password_file = "{password}"; '
                    f'ca_file = "{self.sink.ca}"; {relay}')
        relays = [relay_text("main", kind, self.sink.address(kind), settings)]
        routes = ""
        if first_relay_dead:
            # A port that nobody listens on: bound, not listening.
            dead = socket.socket()
            dead.bind(("127.0.0.1", 0))
            self.parts.append(dead)
            relays.insert(0, relay_text("dead", kind, dead.getsockname(),
                                        settings))
        if silent_relay:
            silent = socket.create_server(("127.0.0.1", 0))
            self.parts.append(silent)
            relays.append(relay_text("silent", kind, silent.getsockname(),
                                     settings))
            routes = ('routes = ( { name = "default"; relays = [ "main" ]; },'
                      ' { name = "silent"; relays = [ "silent" ]; } );')
        if "shutdown" not in config:
            config += 'shutdown = { drain = "2s"; };\n'
        self.config = f"""
listen = ( {{ type = "tcp"; port = 0; }}, {{ type = "udp"; port = 0; }},
           {{ type = "unix"; path = "{self.directory}/sock"; }} );
relays = ( {", ".join(relays)} );
{routes}
retry = {{ {retry} }};
{spool(self.directory)}
{config}
"""
        self.restart()

    def restart(self):
        """Starts the daemon, once more if it was ended."""
        self.daemon = Daemon(self.config, self.directory)
        self.parts.append(self.daemon)
        for name in ("tcp", "unix", "udp", "log", "wait_log", "stats",
                     "status", "settled"):
            setattr(self, name, getattr(self.daemon, name))

    def messages(self):
        """What the sink accepted, parsed, in the order of the files' names."""
        found = []
        for path in sorted(pathlib.Path(self.directory, "mail",
                                        "new").iterdir()):
            with path.open("rb") as file:
                found.append(email.message_from_binary_file(
                    file, policy=email.policy.default))
        return found

    def stop(self):
        """Ends the daemon first; a status other than 0 fails the test."""
        status = 0
        for part in reversed(self.parts):
            if isinstance(part, Daemon):
                status = part.stop()
                log = part.log()
            elif isinstance(part, Sink):
                part.__exit__(None, None, None)
            else:
                part.close()
        self.parts = []
        shutil.rmtree(self.directory, ignore_errors=True)
        if status != 0:
            raise AssertionError(f"postriderd ended with {status}:\n"
                                 f"{log[-4000:]}")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
