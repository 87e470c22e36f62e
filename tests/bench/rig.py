"""What the benchmarks of the whole daemon share: the sink, the daemon, the
loader, and what each of them cost."""

import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
SPOOLS = ("sqlite", "nosync", "memory")


def nosync_library():
    """Debian's libeatmydata: syncs return at once, as synchronous=OFF."""
    found = sorted(pathlib.Path("/usr/lib").glob("*/libeatmydata.so*"))
    if not found:
        raise SystemExit("bench: apt-get install libeatmydata1, or leave out "
                         "the spool \"nosync\"")
    return str(found[0])


def cpu_us(pid):
    """User and system time of all the process's threads so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) * 1_000_000 // TICKS


def peak_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text).group(1)) / 1024


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Bench:
    """A directory, a port for the relay, and programs that are ended."""

    def __init__(self, options, spool):
        self.options = options
        self.spool = spool
        self.bin = pathlib.Path(options.bin)
        self.scratch = tempfile.TemporaryDirectory(
            prefix="postrider-bench-", dir=options.directory)
        self.dir = pathlib.Path(self.scratch.name)
        self.port = free_port()
        self.sink = None
        self.daemon = None
        self.address = None
        (self.dir / "password").write_text("secret\n")
        (self.dir / "password").chmod(0o600)

    def start_sink(self):
        self.sink = subprocess.Popen(
            [self.bin / "postrider-sink", "--smtps", f"127.0.0.1:{self.port}",
             "--auth", "bench:secret", "--require-auth",
             "--write-ca", self.dir / "ca.pem"] + self.options.sink,
            stdout=subprocess.PIPE, text=True)
        for line in self.sink.stdout:
            if line.startswith("ready"):
                return
        raise SystemExit("bench: postrider-sink did not start")

    def config(self):
        spool = 'backend = "memory";'
        if self.spool != "memory":
            spool = f'path = "{self.dir}/spool.db";'
        door = "port = 0;" if self.options.door == "tcp" else \
            f'path = "{self.dir}/sock";'
        ca = self.dir / "ca.pem"
        trust = f'ca_file = "{ca}";' if ca.exists() else ""
        return f"""
listen = ( {{ type = "{self.options.door}"; {door} }} );
relays = ( {{ name = "main"; url = "smtps://127.0.0.1:{self.port}";
             username = "bench"; password_file = "{self.dir}/password"; {trust}
             connections = {self.options.connections};
             backoff_longest = "1s"; }} );
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
        log = open(self.dir / "log", "w")
        start = time.monotonic()
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

    def load(self, jobs, clients, in_flight, settled=False):
        """Figures of one load, with the daemon's and the sink's CPU a job."""
        before = cpu_us(self.daemon.pid), self.sink and cpu_us(self.sink.pid)
        done = subprocess.run(
            [self.bin / "bench_load", "-s", self.address, "--json", "--jobs",
             str(jobs), "--size", str(self.options.size), "--clients",
             str(clients), "--in-flight", str(in_flight)] +
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

    def close(self):
        for program in (self.daemon, self.sink):
            if program is not None:
                program.terminate()
                program.wait(90)
        self.scratch.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def add_options(parser):
    parser.add_argument("bin")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--connections", type=int, default=16)
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
