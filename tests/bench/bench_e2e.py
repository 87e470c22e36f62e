"""End to end: clients -> postriderd -> SMTPS + AUTH -> postrider-sink.

    /usr/bin/python3 tests/bench/bench_e2e.py BIN_DIRECTORY [--jobs N] ...

Starts the real programs, hands in the jobs as fast as they are taken, waits
until all are settled; for each kind of spool in turn, several times. Beside
them, in the same turns, as many mails of that size straight to such a sink
from bench_easy: 16 threads, each with one libcurl easy handle that it uses
again and again. Prints medians: jobs/s, CPU time of daemon (or bench_easy)
and sink a job, p50 and p99 of the submit reply, the daemon's peak memory.

Each run is checked: every job delivered, and what the sink counted is what was
sent, once each.
"""

import argparse

from rig import Bench, add_options, cpu_us, easy, medians

EASY_THREADS = 16


def check(bench, sent):
    """Ends the sink. It must have got all of them, each once."""
    summary = bench.stop_sink()
    seen = {key: summary[key] for key in
            ("messages", "unique", "duplicates", "pipelining_errors",
             "no_message_id")}
    if seen != {"messages": sent, "unique": sent, "duplicates": 0,
                "pipelining_errors": 0, "no_message_id": 0}:
        raise SystemExit(f"bench: {sent} mails were sent, the sink saw {seen}")


def measure(options, spool):
    with Bench(options, spool) as bench:
        bench.start_sink("--remember", str(2 * options.jobs))
        bench.start_daemon()
        figures = bench.load(options.jobs, options.clients, options.in_flight,
                             settled=True)
        if figures["delivered"] != options.jobs or figures["failed"] != 0:
            raise SystemExit(f"bench: {figures}")
        bench.kill_daemon()
        check(bench, options.jobs)
        return figures


def measure_easy(options):
    with Bench(options, "memory") as bench:
        bench.start_sink("--remember", str(2 * options.jobs))
        used = cpu_us(bench.sink.pid)
        found = easy(bench.bin, bench.port, bench.ca, "--threads",
                     EASY_THREADS, "--mails", options.jobs, "--size",
                     options.size)
        sent = int(found["sent"])
        found["sink_us"] = (cpu_us(bench.sink.pid) - used) / sent
        check(bench, sent)
        return found


def main():
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument("--jobs", type=int, default=60000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=16)
    options = parser.parse_args()
    rows = {spool: [] for spool in options.spools}
    easy_rows = []
    for _ in range(options.runs):
        for spool in options.spools:
            rows[spool].append(measure(options, spool))
        easy_rows.append(measure_easy(options))
    print(f"{options.jobs} jobs of {options.size} bytes, {options.clients} "
          f"clients x {options.in_flight} in flight, {options.connections} "
          f"sessions, {options.workers} workers; medians of {options.runs}")
    print("spool      jobs/s  daemon us  sink us   p50 ms   p99 ms  peak MiB")
    for spool in options.spools:
        m = medians(rows[spool])
        print(f"{spool:8} {m['jobs_per_s']:8.0f} {m['daemon_us']:10.1f} "
              f"{m['sink_us']:8.1f} {m['submit_p50_us'] / 1000:8.2f} "
              f"{m['submit_p99_us'] / 1000:8.2f} {m['peak_mib']:9.1f}",
              flush=True)
    m = medians(easy_rows)
    print(f"{'easy':8} {m['per_second']:8.0f} {m['cpu_us']:10.1f} "
          f"{m['sink_us']:8.1f}   libcurl's easy handle in each of "
          f"{EASY_THREADS} threads, no daemon", flush=True)


if __name__ == "__main__":
    main()
