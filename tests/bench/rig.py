"""What the benchmarks of the whole daemon share: the sink, the daemon, the
loader, the same load through libcurl's easy handles, and what each of them
cost."""

import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "integration"))
from harness import Sink, wait_until  # noqa: E402,F401

SPOOLS = ("sqlite", "nosync", "memory")
LOGIN = "bench:secret"


def nosync_library():
    """Debian's libeatmydata: syncs return at once, as synchronous=OFF."""
    found = sorted(pathlib.Path("/usr/lib").glob("*/libeatmydata.so*"))
    if not found:
        raise SystemExit("bench: apt-get install libeatmydata1, or leave out "
                         "the spool \"nosync\"")
    return str(found[0])


def cpu_us(pid):
    """CPU time of all the process's threads that live, to the nanosecond
    (clock ticks of 10 ms are too coarse for a load of few jobs)."""
    return sum(int(p.read_text().split()[0]) for p in
               pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1000


def peak_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text).group(1)) / 1024


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def easy(bin_directory, port, ca, *load):
    """bench_easy's figures: the same load, without us, on a sink that runs.
    load: --threads and --mails or --seconds, --size, --recipients."""
    done = subprocess.run(
        [pathlib.Path(bin_directory) / "bench_easy", "--url",
         f"smtps://127.0.0.1:{port}", "--ca", ca, "--user", LOGIN] +
        [str(word) for word in load],
        capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise SystemExit("bench: bench_easy: " + done.stderr)
    return {key: float(value) for key, value in
            (word.split("=") for word in done.stdout.split())}


def literal(value):
    """As libconfig writes it; what is a number in a text is a number."""
    text = str(value)
    return text if re.fullmatch(r"\d+|true|false", text) else \
        json.dumps(text)


class Bench:
    """A directory, a port for the relay, and programs that are ended."""

    def __init__(self, options, spool):
        self.options = options
        self.spool = spool
        self.bin = pathlib.Path(options.bin)
        os.environ["POSTRIDER_BIN"] = str(self.bin)
        self.scratch = tempfile.TemporaryDirectory(
            prefix="postrider-bench-", dir=options.directory)
        self.dir = pathlib.Path(self.scratch.name)
        self.ca = self.dir / "ca.pem"
        self.port = free_port()
        self.sink = None
        self.daemon = None
        self.address = None
        (self.dir / "password").write_text(LOGIN.split(":")[1] + "\n")
        (self.dir / "password").chmod(0o600)

    def start_sink(self, *more):
        """A new certificate each time: before the daemon saw the last."""
        self.sink = Sink("--smtps", f"127.0.0.1:{self.port}", "--auth", LOGIN,
                         "--require-auth", "--write-ca", str(self.ca),
                         *self.options.sink, *more, log=False)

    def stop_sink(self):
        """Returns its last summary."""
        summary = self.sink.finish()
        self.sink = None
        return summary

    def relay(self, name, port, **more):
        settings = {
            "name": name, "url": f"smtps://127.0.0.1:{port}",
            "username": LOGIN.split(":")[0],
            "password_file": f"{self.dir}/password",
            "connections": self.options.connections,
            "backoff_longest": "1s", **more}
        settings.update(word.split("=", 1) for word in self.options.set)
        if self.ca.exists():
            settings["ca_file"] = str(self.ca)
        return "{ " + " ".join(f"{key} = {literal(value)};"
                               for key, value in settings.items()) + " }"

    def relays(self):
        return [self.relay("main", self.port)]

    def routes(self):
        return []

    def config(self):
        spool = 'backend = "memory";'
        if self.spool != "memory":
            spool = f'path = "{self.dir}/spool.db";'
        door = "port = 0;" if self.options.door == "tcp" else \
            f'path = "{self.dir}/sock";'
        routes = ",\n".join(self.routes())
        routes = f"routes = ( {routes} );" if routes else ""
        relays = ",\n".join(self.relays())
        return f"""
listen = ( {{ type = "{self.options.door}"; {door} }} );
relays = ( {relays} );
{routes}
spool = {{ {spool} max_jobs = 2000000; max_bytes = "8G"; }};
workers = {{ count = {self.options.workers}; }};
shutdown = {{ drain = "1s"; }};
log = {{ level = "{self.options.log_level}"; }};
"""

    def start_daemon(self):
        """Returns the seconds from the start to the ready line."""
        path = self.dir / "postrider.conf"
        path.write_text(self.config())
        environment = dict(os.environ)
        if self.spool == "nosync":
            environment["LD_PRELOAD"] = nosync_library()
        start = time.monotonic()
        with open(self.dir / "log", "w") as log:
            self.daemon = subprocess.Popen(
                [self.bin / "postriderd", "-c", path], stderr=log,
                env=environment)
        while self.daemon.poll() is None:
            text = (self.dir / "log").read_text()
            found = re.search(r'event=ready .*listen="?([^" ]+)', text)
            if found:
                self.address = found.group(1)
                return time.monotonic() - start
            time.sleep(0.001)
        raise SystemExit("bench: postriderd did not start: " +
                         (self.dir / "log").read_text())

    def load(self, jobs, clients, in_flight, *more, settled=False):
        """Figures of one load, with the daemon's and the sink's CPU a job.
        more: further options of bench_load."""
        before = cpu_us(self.daemon.pid), self.sink and cpu_us(self.sink.pid)
        done = subprocess.run(
            [self.bin / "bench_load", "-s", self.address, "--json", "--jobs",
             str(jobs), "--size", str(self.options.size), "--clients",
             str(clients), "--in-flight", str(in_flight), *more] +
            (["--wait-settled"] if settled else []),
            capture_output=True, text=True, timeout=900)
        if done.returncode != 0:
            raise SystemExit("bench: bench_load: " + done.stderr)
        figures = json.loads(done.stdout)
        figures["daemon_us"] = (cpu_us(self.daemon.pid) - before[0]) / jobs
        if self.sink:
            figures["sink_us"] = (cpu_us(self.sink.pid) - before[1]) / jobs
        figures["peak_mib"] = peak_mib(self.daemon.pid)
        return figures

    def stats(self):
        kind, rest = self.address.split(":", 1)
        if kind == "unix":
            s = socket.socket(socket.AF_UNIX)
            s.connect(rest)
        else:
            host, port = rest.rsplit(":", 1)
            s = socket.create_connection((host, int(port)))
        with s:
            s.sendall(b'{"op":"stats"}\n')
            return json.loads(s.makefile().readline())

    def kill_daemon(self):
        self.daemon.kill()
        self.daemon.wait()
        self.daemon = None

    def close(self):
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(90)
        if self.sink is not None:
            self.sink.stop()
        self.scratch.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def add_options(parser):
    parser.add_argument("bin")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE",
                        help="further settings of the relays")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--door", choices=("tcp", "unix"), default="tcp")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--directory", help="where the spool lies")
    parser.add_argument("--spools", nargs="*", default=list(SPOOLS),
                        choices=SPOOLS)
    parser.add_argument("--sink", nargs="*", default=[],
                        help="further options for postrider-sink")


def medians(rows):
    return {key: statistics.median(row[key] for row in rows)
            for key, value in rows[0].items()
            if isinstance(value, (int, float))}
