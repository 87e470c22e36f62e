"""What sending alone costs, without queue, spool and intake.

    POSTRIDER_BIN=build/release/bin /usr/bin/python3 tests/bench/bench_smtp.py

For each row a new postrider-sink and a new bench_smtp: one thread, one event
loop, n sessions. Prints messages a second and the sender's and the sink's CPU
time a message. Both share the machine; connecting is not counted for the
sender.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "integration"))
from harness import Sink, binary  # noqa: E402

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "50000"))
SIZE = int(os.environ.get("BENCH_SIZE", "2048"))
ROWS = [("smtps", 1), ("smtps", 16), ("smtps", 64), ("starttls", 16),
        ("smtp", 16)]


def measure(kind, sessions):
    with Sink(f"--{kind}", "0", log=False) as sink:
        host, port = sink.address(kind)
        sender = subprocess.run(
            [binary("bench_smtp"), host, str(port),
             "none" if kind == "smtp" else kind, sink.ca, str(sessions),
             str(MESSAGES), str(SIZE)],
            stdout=subprocess.PIPE, text=True, timeout=300, check=True)
        values = dict(word.split("=") for word in sender.stdout.split())
        summary = sink.finish()
    if summary["messages"] != MESSAGES:
        raise AssertionError(f"the sink counted {summary}")
    return (float(values["per_second"]), float(values["cpu_us"]),
            summary["cpu_us"] / MESSAGES)


def main():
    print(f"{MESSAGES} messages of {SIZE} bytes a row, {os.cpu_count()} CPUs")
    print(f"{'listener':9} {'sessions':>8} {'msg/s':>8} {'sender us':>9} "
          f"{'sink us':>8}")
    for kind, sessions in ROWS:
        rate, cpu, sink_cpu = measure(kind, sessions)
        print(f"{kind:9} {sessions:8} {rate:8.0f} {cpu:9.2f} {sink_cpu:8.2f}",
              flush=True)


if __name__ == "__main__":
    main()
