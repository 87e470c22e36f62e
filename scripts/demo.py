"""The part of ./demo behind the build: python3 scripts/demo.py BIN_DIRECTORY.

Uses the standard library only, as an application would.
"""

import email
import email.policy
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time

DEADLINE_S = 20
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ

BCC = "archive@example.org"
LOGO = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082")


def paint(text, code):
    return f"\033[{code}m{text}\033[0m" if COLOUR and code else text


def heading(text):
    print("\n" + paint(text, "1"))


def shorten(text, width):
    return text if len(text) <= width else text[:width - 3] + "..."


def fold(label, pieces, end="", code=None):
    """Prints pieces behind label, as many in a line of 78 columns as fit;
    end stands at the end of all lines but the last."""
    width = 64 - len(end)
    lines = []
    for piece in pieces:
        if lines and len(lines[-1]) + 1 + len(piece) <= width:
            lines[-1] += " " + piece
        else:
            lines += textwrap.wrap(piece, width, break_long_words=False,
                                   break_on_hyphens=False)
    for n, line in enumerate(lines):
        line += end if n + 1 < len(lines) else ""
        print(f"    {'' if n else label:9} {paint(line, code)}")


def list_pieces(items):
    return [item + "," for item in items[:-1]] + items[-1:]


def json_pieces(value):
    pieces = list_pieces([json.dumps(k) + ": " +
                          json.dumps(v, ensure_ascii=False)
                          for k, v in value.items()])
    pieces[0] = "{" + pieces[0]
    pieces[-1] += "}"
    return pieces


def number(n):
    return ("none", "one", "two", "three", "four", "five")[n]


def mark_bcc(address):
    return address + " (bcc)" if address == BCC else address


class Program:
    """A program of ours, started with a free port and stopped by its pid."""

    def __init__(self, arguments, ready, stream):
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE if stream == "stdout" else
            subprocess.DEVNULL,
            stderr=subprocess.PIPE if stream == "stderr" else None)
        self.output = getattr(self.process, stream)
        self.ready = self.wait_for(ready)

    def wait_for(self, pattern):
        for line in self.output:
            if re.search(pattern, line):
                return line.strip()
        raise SystemExit(f"demo: {self.process.args[0]} ended before it was "
                         "ready")

    def stop(self):
        self.process.terminate()
        rest, errors = self.process.communicate(timeout=DEADLINE_S)
        return rest or errors or ""


class Demo:
    def __init__(self, binaries):
        self.bin = pathlib.Path(binaries).resolve()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="postrider-demo-"))
        self.programs = []
        self.answers = {}

    # ---- the two programs ----

    def start_sink(self):
        sink = Program(
            [self.bin / "postrider-sink", "--smtps", "127.0.0.1:0",
             "--auth", "demo:secret", "--require-auth",
             "--write-ca", self.dir / "ca.pem", "--dir", self.dir / "mail",
             "--fault", "rcpt:match=nobody@*,reply=550 5.1.1 No such user"],
            r"^ready\b", "stdout")
        self.programs.append(sink)
        self.relay = re.search(r"smtps=(\S+)", sink.ready).group(1)
        return sink

    def start_daemon(self):
        password = self.dir / "relay.password"
        password.write_text("secret\n")
        password.chmod(0o600)
        config = self.dir / "postrider.conf"
        self.unix = str(self.dir / "postrider.sock")
        config.write_text(f"""listen = (
  {{ type = "tcp";  address = "127.0.0.1"; port = 0; }},
  {{ type = "udp";  address = "127.0.0.1"; port = 0; }},
  {{ type = "unix"; path = "{self.unix}"; }}
);
relays = (
  {{ name = "main"; url = "smtps://{self.relay}"; username = "demo";
    password_file = "{password}"; ca_file = "{self.dir}/ca.pem";
    connections = 4; }}
);
spool = {{ path = "{self.dir}/spool.db"; }};
""")
        daemon = Program([self.bin / "postriderd", "-c", config],
                         r"event=ready\b", "stderr")
        self.programs.append(daemon)
        self.tcp = int(re.search(r"tcp:127\.0\.0\.1:(\d+)",
                                 daemon.ready).group(1))
        self.udp = int(re.search(r"udp:127\.0\.0\.1:(\d+)",
                                 daemon.ready).group(1))
        return daemon

    # ---- four ways in ----

    def show(self, door, job, answer):
        """job: what was asked, an object or parts of a command line."""
        print(f"  {paint(door, '36')}")
        if isinstance(job, list):
            fold("asked", job, end=" \\")
        else:
            fold("asked", json_pieces(job))
        fold("answered", json_pieces(answer), code="32")
        if not answer.get("ok"):
            raise SystemExit(f"demo: {door} was refused")
        self.answers[door] = answer["id"]

    def by_tcp(self):
        job = {"from": "Café Müller <shop@example.org>",
               "to": "Zoë <zoe@example.net>",
               "subject": "Grüße aus dem Café ☕",
               "text": "Guten Tag,\nIhr Kaffee ist unterwegs.\n"}
        with socket.create_connection(("127.0.0.1", self.tcp),
                                      DEADLINE_S) as s:
            s.sendall(json.dumps(job).encode() + b"\n")
            self.show("TCP, a line of JSON", job,
                      json.loads(s.makefile().readline()))

    def by_udp(self):
        job = {"from": "cron@example.org", "to": "ops@example.net",
               "subject": "Backup done", "text": "42 files.",
               "idempotency_key": "backup-2026-11-20"}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(DEADLINE_S)
            s.sendto(json.dumps(job).encode(), ("127.0.0.1", self.udp))
            self.show("UDP, one datagram", job, json.loads(s.recv(65535)))

    def by_unix(self):
        job = {"from": "shop@example.org",
               "to": ["ann@example.net", "bob@example.net",
                      "nobody@example.net", "cyd@example.net"],
               "bcc": BCC, "subject": "To five people",
               "text": "Plain words.", "html": "<p>Words in <b>HTML</b></p>"}
        data = json.dumps(job).encode()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(DEADLINE_S)
            s.connect(self.unix)
            s.sendall(struct.pack(">I", len(data)) + data)
            stream = s.makefile("rb")
            length = struct.unpack(">I", stream.read(4))[0]
            self.show("Unix socket, length-prefixed, five recipients", job,
                      json.loads(stream.read(length)))

    def cli(self, *arguments, **options):
        return subprocess.run(
            [self.bin / "postrider", "-s", f"unix:{self.unix}", *arguments],
            capture_output=True, text=True, timeout=DEADLINE_S, **options)

    def by_cli(self):
        (self.dir / "logo.png").write_bytes(LOGO)
        text = "The logo you asked for is attached."
        options = [("--from", "shop@example.org"), ("--to", "ann@example.net"),
                   ("--subject", "Your invoice"), ("--attach", "logo.png")]
        done = self.cli("--json", "send", *sum(options, ()),
                        input=text + "\n", cwd=self.dir)
        if done.returncode != 0:
            raise SystemExit(f"demo: postrider send: {done.stderr}")
        self.show("A shell",
                  [f"echo {shlex.quote(text)} |", "postrider --json send",
                   *map(shlex.join, options)], json.loads(done.stdout))

    # ---- what became of them ----

    def outcomes(self):
        for door, job in self.answers.items():
            done = self.cli("--json", "wait", job)
            status = json.loads(done.stdout)["job"]
            state = status["state"]
            print(f"  {door}: " + paint(state, "32" if state == "delivered"
                                        else "33"))
            for r in status["recipients"]:
                print(f"    {mark_bcc(r['address']):26} {r['state']:10} "
                      f"{shorten(r.get('reply') or '', 38)}")
            states = [r["state"] for r in status["recipients"]]
            if "failed" in states:
                print(f"    failed: {number(states.count('failed'))} of "
                      f"{number(len(states))} was refused; the other "
                      f"{number(states.count('delivered'))} have the mail, "
                      "once")

    def received(self):
        files = sorted((self.dir / "mail" / "new").iterdir())
        for path in files:
            with path.open("rb") as f:
                message = email.message_from_binary_file(
                    f, policy=email.policy.default)
            parts = [p.get_content_type() for p in message.walk()
                     if not p.is_multipart()]
            names = [p.get_filename() for p in message.walk()
                     if p.get_filename()]
            print(f"  {paint(message['Subject'], '36')}")
            for name in ("From", "To"):
                fold(name, list_pieces(str(message[name]).split(", ")))
            fold("parts", list_pieces(parts + names))
            fold("envelope", list_pieces(
                [mark_bcc(to) for to in message.get_all("X-Envelope-To")]))
        return len(files)

    def run(self):
        started = time.monotonic()
        heading("1. A relay that swallows mail, and the daemon")
        print("  postrider-sink  " + self.start_sink().ready)
        ready = self.start_daemon().ready
        print("  postriderd      " +
              "\n                  ".join(re.search(
                  r'listen="?([^" ]+)', ready).group(1).split(",")))
        heading("2. Four doors: what was asked and what was answered")
        self.by_tcp()
        self.by_udp()
        self.by_unix()
        self.by_cli()
        heading("3. What became of each mail, recipient by recipient")
        self.outcomes()
        heading("4. What the relay received")
        count = self.received()
        heading("5. The ledger")
        print("  " + "\n  ".join(self.cli("stats").stdout.splitlines()[:12]))
        print(f"\n{count} mails in {time.monotonic() - started:.1f} s. "
              "Now try it yourself: README.md, \"Send a mail\".")

    def clean_up(self):
        for program in reversed(self.programs):
            program.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    demo = Demo(sys.argv[1])
    try:
        demo.run()
    finally:
        demo.clean_up()


if __name__ == "__main__":
    main()
