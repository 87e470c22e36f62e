"""What sending alone costs, without queue, spool and intake.

    POSTRIDER_BIN=build/release/bin /usr/bin/python3 tests/bench/bench_smtp.py

For each row a new postrider-sink and a new bench_smtp: one thread, one event
loop, n sessions. What the sink offers decides how the sender speaks: one
command at a time, pipelined, or in chunks with n messages unconfirmed. Prints
messages a second and the sender's and the sink's CPU time a message. Both
share the machine; connecting is not counted for the sender.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "integration"))
from harness import Sink, binary  # noqa: E402

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "50000"))
SIZE = int(os.environ.get("BENCH_SIZE", "2048"))
# mode: what the sink does not offer, messages unconfirmed, room of a session
MODES = {
    "one_by_one": (["--without", "PIPELINING,CHUNKING"], 1, 1),
    "pipeline": (["--without", "CHUNKING"], 1, 2),
    "bdat_1": ([], 1, 1),
    "bdat_4": ([], 4, 4),
    "bdat_16": ([], 16, 16),
}
ROWS = [(mode, "smtps", sessions) for mode in MODES for sessions in (1, 16)]
ROWS += [("bdat_1", "smtps", 64), ("bdat_1", "starttls", 16),
         ("bdat_1", "smtp", 16)]
LATENCY = os.environ.get("BENCH_LATENCY")


def measure(mode, kind, sessions):
    options, unconfirmed, room = MODES[mode]
    if LATENCY:
        options = [*options, "--latency", LATENCY]
    with Sink(f"--{kind}", "0", *options, log=False) as sink:
        host, port = sink.address(kind)
        sender = subprocess.run(
            [binary("bench_smtp"), host, str(port),
             "none" if kind == "smtp" else kind, sink.ca, str(sessions),
             str(MESSAGES), str(SIZE), str(unconfirmed)],
            stdout=subprocess.PIPE, text=True, timeout=300, check=True)
        values = dict(word.split("=") for word in sender.stdout.split())
        summary = sink.finish()
    if (summary["messages"] != MESSAGES or summary["pipelining_errors"] or
            int(values["room"]) != room):
        raise AssertionError(f"room {values['room']}, the sink counted "
                             f"{summary}")
    return (float(values["per_second"]), float(values["cpu_us"]),
            summary["cpu_us"] / MESSAGES)


def main():
    print(f"{MESSAGES} messages of {SIZE} bytes a row, {os.cpu_count()} CPUs")
    print(f"{'mode':10} {'listener':9} {'sessions':>8} {'msg/s':>8} "
          f"{'sender us':>9} {'sink us':>8}")
    for mode, kind, sessions in ROWS:
        rate, cpu, sink_cpu = measure(mode, kind, sessions)
        print(f"{mode:10} {kind:9} {sessions:8} {rate:8.0f} {cpu:9.2f} "
              f"{sink_cpu:8.2f}", flush=True)


if __name__ == "__main__":
    main()
