"""What the real mail servers of the tests have in common.

They are Debian's, unpacked by scripts/servers.sh and not installed, in the
folder of the environment variable POSTRIDER_SERVERS. Servers want root, users
of their own and fixed places; here each runs in a scratch directory, as
whoever runs the tests: libnss_wrapper knows the users, and fakeroot lets the
server believe that it is root and gives files away.
"""

import ctypes
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

from harness import DEADLINE_S, wait_until

PASSWORD = "pass word;very-secret"
FIRST_USER = 61001  # of the servers' own users and groups
PR_SET_PDEATHSIG = 1


def tree():
    """Where the packages were unpacked."""
    return pathlib.Path(os.environ["POSTRIDER_SERVERS"]).resolve() / "tree"


def libraries():
    """The folders of the packages' libraries."""
    return [*tree().glob("usr/lib/*-linux-gnu"),
            *tree().glob("lib/*-linux-gnu"),
            tree() / "usr/lib/postfix", tree() / "usr/lib/dovecot",
            tree() / "usr/lib/dovecot/modules/old-stats"]


def scratch_root():
    """In memory if there is room: servers sync what they take, and whether
    that lasts is none of what is tested. None: where others put theirs."""
    try:
        room = os.statvfs("/dev/shm")
    except OSError:
        return None
    enough = room.f_bavail * room.f_frsize > 50 << 20
    return "/dev/shm" if enough and os.access("/dev/shm", os.W_OK) else None


def library(name):
    """The path of one that is to be preloaded."""
    (path,) = tree().glob(f"usr/lib/*-linux-gnu/{name}")
    return str(path)


def free_ports(count):
    """Ports of 127.0.0.1 that nobody has now; below those that connections
    are given, so that none of them takes one before the server does."""
    with open("/proc/sys/net/ipv4/ip_local_port_range",
              encoding="ascii") as file:
        end = int(file.read().split()[0])
    found = set()
    for port in random.sample(range(1024, end), min(1000, end - 1024)):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.add(port)
        if len(found) == count:
            return sorted(found)
    raise AssertionError("there are no free ports")


def write_certificate(directory):
    """A self-signed one, for localhost; the paths of it and of its key."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
         certificate, "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True, timeout=60)
    key.chmod(0o600)
    return certificate, key


def end_with_the_test():
    """In the child: it is ended too when the test dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class RealServer:
    """A server in a scratch directory; its mail goes into Maildirs.

    Subclasses have name, users, services (ports wanted), main_log,
    configure(), start(), waiting() and seen(). people are the mailboxes of
    example.net; whoever else is unknown.
    """

    name = ""
    users = ()
    services = ("smtps", "submission")
    main_log = "log"

    def __init__(self, people):
        self.people = people
        self.seen_from = 0
        self.directory = pathlib.Path(tempfile.mkdtemp(
            prefix=self.name + "-", dir=scratch_root()))
        self.processes = []
        try:
            self.certificate, self.key = write_certificate(self.directory)
            self.write_users()
            self.ports = dict(zip(self.services,
                                  free_ports(len(self.services))))
            (self.directory / "mail").mkdir()
            self.configure()
            self.start_fakeroot()
            self.start()
            for service in self.services:
                self.wait_answer(service)
        except BaseException:
            self.stop()
            raise

    def configure(self):
        raise NotImplementedError

    def start(self):
        """Launches its programs, which stay in the foreground."""
        raise NotImplementedError

    def address(self, service):
        return "127.0.0.1", self.ports[service]

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def write_users(self):
        """root, and those the server wants, each with a group of its own."""
        numbers = {"root": 0}
        numbers.update((name, FIRST_USER + n)
                       for n, name in enumerate(self.users))
        self.write("passwd", "".join(f"{name}:x:{n}:{n}::/:/bin/false\n"
                                     for name, n in numbers.items()))
        self.write("group", "".join(f"{name}:x:{n}:\n"
                                    for name, n in numbers.items()))

    def start_fakeroot(self):
        """The process that remembers whom files were given to."""
        self.launch([tree() / "usr/bin/faked-sysv", "--foreground"],
                    self.own_environment())
        answer = wait_until(
            lambda: re.match(r"(\d+):\d+\n", self.log()), "faked-sysv")
        self.fakeroot_key = answer.group(1)

    def own_environment(self):
        """Of programs that run as who they are; what is ours is known by it
        too, see left()."""
        return {
            "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": ":".join(str(path) for path in libraries()),
            "NSS_WRAPPER_PASSWD": str(self.directory / "passwd"),
            "NSS_WRAPPER_GROUP": str(self.directory / "group"),
        }

    def environment(self):
        """Of programs that are root, as they see it."""
        return {
            **self.own_environment(),
            "LD_PRELOAD": library("libnss_wrapper.so") + ":" +
                          library("libfakeroot/libfakeroot-sysv.so"),
            "FAKEROOTKEY": self.fakeroot_key,
        }

    def launch(self, command, environment):
        with open(self.directory / "output", "ab") as output:
            self.processes.append(subprocess.Popen(
                [str(word) for word in command], env=environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=end_with_the_test))

    def run(self, command):
        """A program of the server's that ends by itself."""
        done = subprocess.run(
            [str(word) for word in command], env=self.environment(),
            capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise AssertionError((command, done.stdout, done.stderr))
        return done.stdout

    def log(self):
        """What the server wrote, for messages of failing tests."""
        return "".join(
            path.read_text(encoding="utf-8", errors="replace")
            for path in [self.directory / "output",
                         *sorted(self.directory.glob("log*"))]
            if path.exists())

    def mark(self):
        """seen() is about what comes from here on."""
        path = self.directory / self.main_log
        self.seen_from = path.stat().st_size if path.exists() else 0

    def news(self):
        """Lines of the main log since mark()."""
        with open(self.directory / self.main_log, "rb") as file:
            file.seek(self.seen_from)
            return file.read().decode("utf-8", "replace").splitlines()

    def seen(self):
        """{"messages": taken by it, "chunks": of these, how many by BDAT}"""
        raise NotImplementedError

    def wait_answer(self, service):
        """Until the service greets, over TLS where it starts with it."""
        context = ssl.create_default_context(cafile=str(self.certificate))

        def greets():
            for process in self.processes:
                if process.poll() is not None:
                    raise AssertionError(
                        f"{process.args[0]} ended with {process.returncode}:"
                        f"\n{self.log()[-3000:]}")
            try:
                with socket.create_connection(self.address(service), 2) as s:
                    s.settimeout(5)
                    if service == "smtps":
                        s = context.wrap_socket(s, server_hostname="localhost")
                    with s:
                        return s.recv(100).startswith(b"220 ")
            except OSError:
                return False
        try:
            wait_until(greets, f"{self.name}: a greeting of {service}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-3000:]}") from None

    def mail(self):
        """{address: the files of its Maildir, as bytes}"""
        return {f"{person}@example.net":
                [path.read_bytes() for path in
                 sorted((self.directory / "mail" / person).glob("new/*"))]
                for person in self.people}

    def empty(self):
        """Removes all mail that was delivered."""
        for path in (self.directory / "mail").glob("*/new/*"):
            path.unlink()

    def flush(self):
        """Has it deliver what it took, if it does not by itself."""

    def waiting(self):
        """Messages that were taken and are not in a Maildir yet."""
        raise NotImplementedError

    def left(self):
        """Process ids of what this server started and what still runs."""
        marker = f"NSS_WRAPPER_PASSWD={self.directory}/passwd".encode()
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                if marker in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def stop(self):
        """Ends it and everything it started, and removes its files."""
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []
        end = time.monotonic() + DEADLINE_S
        while self.left():
            late = time.monotonic() > end
            for pid in self.left():
                try:
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)
        shutil.rmtree(self.directory, ignore_errors=True)
