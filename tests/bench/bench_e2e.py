"""End to end: clients -> postriderd -> SMTPS + AUTH -> postrider-sink.

    /usr/bin/python3 tests/bench/bench_e2e.py BIN_DIRECTORY [--jobs N] ...

Starts the real programs, hands in the jobs as fast as they are taken, waits
until all are settled and prints jobs/s, CPU time of daemon, sink and loader a
job, p50 and p99 of the submit reply, and the daemon's peak memory. With
--runs it repeats everything and prints the medians.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_us(pid):
    """User and system time of all the process's threads so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) * 1_000_000 // TICKS


def peak_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text).group(1)) / 1024


def wait_line(stream, pattern):
    for line in stream:
        if re.search(pattern, line):
            return line
    raise SystemExit(f"bench: ended before {pattern}")


def run_once(options, directory):
    binaries = pathlib.Path(options.bin)
    sink = subprocess.Popen(
        [binaries / "postrider-sink", "--smtps", "127.0.0.1:0",
         "--auth", "bench:secret", "--require-auth",
         "--write-ca", directory / "ca.pem"] + options.sink,
        stdout=subprocess.PIPE, text=True)
    daemon = None
    try:
        relay = re.search(r"smtps=(\S+)",
                          wait_line(sink.stdout, "^ready")).group(1)
        password = directory / "password"
        password.write_text("secret\n")
        password.chmod(0o600)
        config = directory / "postrider.conf"
        config.write_text(f"""
listen = ( {{ type = "{options.door}"; {
    'port = 0;' if options.door == 'tcp'
    else f'path = "{directory}/postrider.sock";'} }} );
relays = ( {{ name = "main"; url = "smtps://{relay}"; username = "bench";
             password_file = "{password}"; ca_file = "{directory}/ca.pem";
             connections = {options.connections}; }} );
workers = {{ count = {options.workers}; }};
log = {{ level = "{options.log_level}"; }};
""")
        log = open(directory / "log", "w+")
        daemon = subprocess.Popen(
            [binaries / "postriderd", "-c", config], stderr=log)
        address = None
        while address is None and daemon.poll() is None:
            text = (directory / "log").read_text()
            found = re.search(r"event=ready .*listen=\"?(\S+?)\"?\s", text)
            address = found.group(1) if found else None
        if address is None:
            raise SystemExit("bench: postriderd did not start: " + text)
        before = cpu_us(daemon.pid), cpu_us(sink.pid)
        done = subprocess.run(
            [binaries / "bench_load", "-s", address, "--json",
             "--wait-settled", "--jobs", str(options.jobs),
             "--size", str(options.size),
             "--clients", str(options.clients),
             "--in-flight", str(options.in_flight)],
            capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise SystemExit("bench: bench_load: " + done.stderr)
        figures = json.loads(done.stdout)
        figures["daemon_us"] = (cpu_us(daemon.pid) - before[0]) / options.jobs
        figures["sink_us"] = (cpu_us(sink.pid) - before[1]) / options.jobs
        figures["peak_mib"] = peak_mib(daemon.pid)
        return figures
    finally:
        for program in (daemon, sink):
            if program is not None:
                program.terminate()
                program.wait(60)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("--jobs", type=int, default=60000)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--door", choices=("tcp", "unix"), default="tcp")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sink", nargs="*", default=[],
                        help="further options for postrider-sink")
    options = parser.parse_args()
    rows = []
    for number in range(options.runs):
        with tempfile.TemporaryDirectory(prefix="postrider-bench-") as d:
            rows.append(run_once(options, pathlib.Path(d)))
        print(f"run {number + 1}: {json.dumps(rows[-1])}", flush=True)
    print("medians:")
    for key, value in rows[0].items():
        if isinstance(value, (int, float)):
            print(f"  {key:24} "
                  f"{statistics.median(r[key] for r in rows):12.1f}")


if __name__ == "__main__":
    main()
