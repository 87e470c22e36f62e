"""What durability costs, and a spool with a million jobs.

    /usr/bin/python3 tests/bench/bench_durable.py BIN_DIRECTORY [--waiting N]

First: submits only (the relay is not there), for each kind of spool. Then the
durable spool with N jobs waiting (0: leave out): memory, submits beside them,
a start after SIGKILL, and the rate at which they are delivered once the relay
is there.
"""

import argparse
import time

from rig import Bench, add_options, medians

LOADS = ((1, 1, 10000), (64, 2, 60000), (64, 32, 100000))


def submits(options):
    rows = {(spool, load): [] for spool in options.spools for load in LOADS}
    for _ in range(options.runs):
        for spool in options.spools:
            for load in LOADS:
                clients, in_flight, jobs = load
                with Bench(options, spool) as bench:
                    bench.start_daemon()
                    rows[spool, load].append(
                        bench.load(jobs, clients, in_flight))
    print(f"submits of {options.size} bytes, medians of {options.runs}")
    print("spool    clients in flight  submits/s  daemon us   p50 ms   p99 ms")
    for (spool, (clients, in_flight, _)), found in rows.items():
        m = medians(found)
        print(f"{spool:8} {clients:7} {in_flight:9} {m['submits_per_s']:10.0f} "
              f"{m['daemon_us']:10.1f} {m['submit_p50_us'] / 1000:8.2f} "
              f"{m['submit_p99_us'] / 1000:8.2f}", flush=True)


def settled(bench):
    ledger = bench.stats()["ledger"]
    return ledger["delivered"] + ledger["failed"]


def delivery_rate(bench, seconds):
    first = settled(bench)
    start = time.monotonic()
    while settled(bench) == first:
        time.sleep(0.01)
    first, start = settled(bench), time.monotonic()
    time.sleep(seconds)
    return (settled(bench) - first) / (time.monotonic() - start)


def million(options):
    with Bench(options, "sqlite") as bench:
        bench.start_sink()  # for its certificate
        bench.stop_sink()
        bench.start_daemon()
        empty = bench.load(60000, 64, 32)
        bench.load(options.waiting, 64, 32)
        full = bench.load(60000, 64, 32)
        print(f"{bench.stats()['ledger']['waiting']} jobs waiting")
        print(f"  submits/s: {empty['submits_per_s']:.0f} into an empty spool, "
              f"{full['submits_per_s']:.0f} now "
              f"({100 * full['submits_per_s'] / empty['submits_per_s']:.0f} %)")
        print(f"  peak memory {full['peak_mib']:.1f} MiB", flush=True)
        bench.kill_daemon()
        ready = bench.start_daemon()
        first = bench.load(1, 1, 1)
        print(f"  after SIGKILL: ready in {ready:.2f} s, first submit "
              f"{first['submit_max_us'] / 1000:.1f} ms")
        bench.start_sink()
        rate = delivery_rate(bench, 10)
        print(f"  delivery beside them: {rate:.0f} jobs/s over 10 s, peak "
              f"memory {bench.load(1, 1, 1)['peak_mib']:.1f} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument("--waiting", type=int, default=1000000)
    options = parser.parse_args()
    if options.spools:
        submits(options)
    if options.waiting:
        million(options)


if __name__ == "__main__":
    main()
