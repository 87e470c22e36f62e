"""End to end: clients -> postriderd -> SMTPS + AUTH -> postrider-sink.

    /usr/bin/python3 tests/bench/bench_e2e.py BIN_DIRECTORY [--jobs N] ...

Starts the real programs, hands in the jobs as fast as they are taken, waits
until all are settled; for each kind of spool in turn, several times. Prints
medians: jobs/s, CPU time of daemon and sink a job, p50 and p99 of the submit
reply, and the daemon's peak memory.
"""

import argparse

from rig import Bench, add_options, medians


def main():
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument("--jobs", type=int, default=60000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=16)
    options = parser.parse_args()
    rows = {spool: [] for spool in options.spools}
    for _ in range(options.runs):
        for spool in options.spools:
            with Bench(options, spool) as bench:
                bench.start_sink()
                bench.start_daemon()
                rows[spool].append(bench.load(
                    options.jobs, options.clients, options.in_flight, True))
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


if __name__ == "__main__":
    main()
