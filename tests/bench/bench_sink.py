"""How much mail one thread of postrider-sink takes, and what it costs.

    POSTRIDER_BIN=build/release/bin /usr/bin/python3 tests/bench/bench_sink.py

Starts the sink anew for each row, loads it with bench_sink_load and prints
messages a second, the sink's CPU time a message (from its own summary, the
work of connecting included) and the loader's. Both share the machine.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "integration"))
from harness import Sink, binary  # noqa: E402

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "200000"))
SIZE = int(os.environ.get("BENCH_SIZE", "2048"))
ROWS = [
    ("smtps", "bdat", 16), ("smtps", "chain", 16), ("smtps", "single", 16),
    ("smtps", "bdat", 64), ("smtps", "chain", 1), ("smtp", "bdat", 16),
    ("smtp", "chain", 16),
]


def measure(kind, mode, connections):
    with Sink(f"--{kind}", "0", log=False) as sink:
        host, port = sink.address(kind)
        loader = subprocess.run(
            [binary("bench_sink_load"), host, str(port),
             "1" if kind == "smtps" else "0", mode, str(connections),
             str(MESSAGES), str(SIZE)],
            stdout=subprocess.PIPE, text=True, timeout=300, check=True)
        values = dict(word.split("=") for word in loader.stdout.split())
        summary = sink.finish()
    if summary["messages"] != MESSAGES or summary["duplicates"] != 0:
        raise AssertionError(f"the sink counted {summary}")
    return (float(values["per_second"]), summary["cpu_us"] / MESSAGES,
            float(values["loader_us"]), summary["max_rss_kib"])


def main():
    print(f"{MESSAGES} messages of {SIZE} bytes a row, {os.cpu_count()} CPUs")
    print(f"{'listener':9} {'mode':7} {'conns':>5} {'msg/s':>8} "
          f"{'sink us':>8} {'loader us':>9} {'sink KiB':>9}")
    for kind, mode, connections in ROWS:
        rate, cpu, loader, rss = measure(kind, mode, connections)
        print(f"{kind:9} {mode:7} {connections:5} {rate:8.0f} {cpu:8.2f} "
              f"{loader:9.2f} {rss:9}", flush=True)


if __name__ == "__main__":
    main()
