"""What the integration tests share: programs that are started, waited for
with a deadline, and ended by their process id.

The built programs are found through the environment variable POSTRIDER_BIN.
Every wait has a deadline; nothing sleeps in the hope that it was long enough.
"""
import json
import os
import queue
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time

DEADLINE_S = 20


def binary(name):
    """The path of one of our programs."""
    return os.path.join(os.environ["POSTRIDER_BIN"], name)


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Polls condition() until it is true, and returns what it returned."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline_s} s")
        time.sleep(0.005)


class Program:
    """A program that runs until it is stopped, and what it writes.

    ready(line) tells whether a line of `ready_on` ("stdout" or "stderr") says
    that the program is ready; the line is kept in .ready_line.
    """

    def __init__(self, argv, ready, ready_on="stdout", env=None,
                 wait_ready=True):
        """wait_ready=False: the caller waits, by wait_line(), himself."""
        self.argv = argv
        self.stopped = False
        self.lines = {"stdout": queue.Queue(), "stderr": queue.Queue()}
        self.written = {"stdout": [], "stderr": []}
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, errors="replace", env=env)
        self.readers = [
            threading.Thread(target=self._read, args=(name, stream),
                             daemon=True)
            for name, stream in (("stdout", self.process.stdout),
                                 ("stderr", self.process.stderr))]
        for reader in self.readers:
            reader.start()
        if not wait_ready:
            return
        try:
            self.ready_line = self.wait_line(ready, ready_on)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def _read(self, name, stream):
        for line in stream:
            line = line.rstrip("\n")
            self.written[name].append(line)
            self.lines[name].put(line)
        self.lines[name].put(None)

    @property
    def pid(self):
        return self.process.pid

    def wait_line(self, wanted, stream="stdout", deadline_s=DEADLINE_S):
        """The next line of that stream for which wanted(line) is true."""
        end = time.monotonic() + deadline_s
        while True:
            try:
                line = self.lines[stream].get(
                    timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(
                    f"{self.argv[0]}: the line did not come; stderr: "
                    f"{self.written['stderr'][-20:]}")
            if wanted(line):
                return line

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM, deadline_s=DEADLINE_S):
        """Ends the program, by SIGKILL when it does not end in time. Returns
        its status. Nothing when it was stopped before."""
        self.stopped = True
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            for reader in self.readers:
                reader.join(DEADLINE_S)
            self.process.stdout.close()
            self.process.stderr.close()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.stop()
        return False


class Sink(Program):
    """postrider-sink on ports of its own, with a log and a throw-away CA.

        with Sink("--smtps", "0") as sink:
            host, port = sink.address("smtps")
    """

    def __init__(self, *options, log=True):
        self.directory = tempfile.mkdtemp(prefix="sink-")
        self.ca = os.path.join(self.directory, "ca.pem")
        self.log_path = os.path.join(self.directory, "log")
        argv = [binary("postrider-sink"), *options]
        if ({"--smtps", "--starttls"} & set(options) and
                not {"--cert", "--write-ca"} & set(options)):
            argv += ["--write-ca", self.ca]
        if log and "--log" not in options:
            argv += ["--log", self.log_path]
        try:
            super().__init__(argv, lambda line: line.startswith("ready"))
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        self.addresses = [part.split("=", 1)
                          for part in self.ready_line.split()[1:]]

    def address(self, kind, index=0):
        """(host, port) of the index-th listener of that kind."""
        text = [value for name, value in self.addresses if name == kind][index]
        host, port = text.rsplit(":", 1)
        return host.strip("[]"), int(port)

    def tls(self):
        """A client's context that trusts this sink and nobody else."""
        return ssl.create_default_context(cafile=self.ca)

    def log(self, event=None):
        """The objects of the log so far; event: only those."""
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        return [line for line in lines if event in (None, line["event"])]

    def messages(self):
        return self.log("message")

    def summary(self):
        """What SIGUSR1 gives."""
        self.send(signal.SIGUSR1)
        return json.loads(self.wait_line(lambda line: line.startswith("{")))

    def finish(self):
        """Ends it and returns its last summary."""
        status = self.stop()
        if status != 0:
            raise AssertionError(f"postrider-sink ended with {status}: "
                                 f"{self.written['stderr'][-20:]}")
        return json.loads(self.written["stdout"][-1])

    def __exit__(self, *unused):
        """A sink that died by itself, or ends badly, fails the test."""
        try:
            if not self.stopped and self.stop() != 0:
                raise AssertionError(
                    f"postrider-sink ended with {self.process.returncode}: "
                    f"{self.written['stderr'][-20:]}")
            return False
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
