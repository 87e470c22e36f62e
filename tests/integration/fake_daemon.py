"""A daemon made of Python, which can be as wrong as a test of the command line
tool needs, and how that tool is run.
"""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

from harness import DEADLINE_S, binary

ID = "01kadp2v4tq8w3zr5m6n7b9c0d"
OK = {"ok": True, "id": ID, "state": "queued", "durable": "memory"}


def refusal(word, retry=False, **more):
    return {"ok": False, "error": word, "message": "because", "retry": retry,
            **more}


def job(state, **more):
    return {"ok": True, "job": {"id": ID, "state": state, **more}}


class Connection:
    """One client, as the fake daemon sees it."""

    def __init__(self, sock):
        self.sock = sock
        self.file = sock.makefile("rb")

    def line(self):
        """The next request, None when the client is gone."""
        line = self.file.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def lines(self):
        return iter(self.line, None)

    def send(self, reply):
        if not isinstance(reply, bytes):
            reply = json.dumps(reply).encode() + b"\n"
        self.sock.sendall(reply)

    def wait_end(self):
        while self.sock.recv(65536):
            pass


class Fake:
    """A stream daemon: serve(connection) runs for each client in a thread of
    its own. Errors in it are raised when the Fake is left."""

    def __init__(self, serve, kind="unix"):
        self.directory = tempfile.mkdtemp(prefix="cli-")
        self.serve = serve
        self.requests = []
        self.errors = []
        self.threads = []
        if kind == "unix":
            path = os.path.join(self.directory, "socket")
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(path)
            self.address = "unix:" + path
        else:
            self.sock = socket.create_server(("127.0.0.1", 0))
            self.address = "tcp:127.0.0.1:%d" % self.sock.getsockname()[1]
        self.sock.listen(8)
        self._spawn(self._accept)

    def _spawn(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self._spawn(self._client, sock)

    def _client(self, sock):
        try:
            sock.settimeout(DEADLINE_S)
            with sock:
                connection = Connection(sock)
                self.serve(connection)
                connection.file.close()
        except (BrokenPipeError, ConnectionResetError):
            pass
        except Exception as error:  # shown by the test
            self.errors.append(error)

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for thread in self.threads:
            thread.join(DEADLINE_S)
        shutil.rmtree(self.directory)
        if self.errors and kind is None:
            raise self.errors[0]
        return False


def answering(*replies):
    """A Fake that answers its requests with these, the last one for ever."""
    def serve(connection):
        for number, request in enumerate(connection.lines()):
            fake.requests.append(request)
            connection.send(replies[min(number, len(replies) - 1)])
    fake = Fake(serve)
    return fake


class FakeUdp:
    """A datagram daemon: answer(request, number) gives reply or None."""

    def __init__(self, answer):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = "udp:127.0.0.1:%d" % self.sock.getsockname()[1]
        self.answer = answer
        self.requests = []
        self.ended = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            data, client = self.sock.recvfrom(65536)
            if self.ended:
                return
            self.requests.append(json.loads(data))
            reply = self.answer(self.requests[-1], len(self.requests))
            if reply is not None:
                self.sock.sendto(json.dumps(reply).encode(), client)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.ended = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"{}", self.sock.getsockname())
        self.thread.join(DEADLINE_S)
        self.sock.close()
        return False


def environment(**more):
    env = {k: v for k, v in os.environ.items() if k != "POSTRIDER_SOCKET"}
    return {**env, "TZ": "UTC", **more}


def postrider(*args, stdin=b"", program=None, env=None, **more):
    """Runs the tool to its end; stdout and stderr are text. stdin is bytes,
    or a descriptor to read from."""
    source = {"stdin": stdin} if isinstance(stdin, int) else {"input": stdin}
    done = subprocess.run(
        [program or binary("postrider"), *args], **source,
        stdout=more.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE,
        timeout=60, env=environment(**(env or {})), check=False, **more)
    done.stdout = (done.stdout or b"").decode()
    done.stderr = done.stderr.decode()
    return done


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="cli-")
        self.addCleanup(shutil.rmtree, self.directory)

    def file(self, name, data):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as out:
            out.write(data)
        return path

    def assert_exit(self, done, code):
        self.assertEqual(done.returncode, code,
                         f"stdout: {done.stdout}\nstderr: {done.stderr}")
