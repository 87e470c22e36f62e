"""Relays that are far away, slow, or dead: what one connection and many give.

    /usr/bin/python3 tests/bench/bench_relay.py BIN_DIRECTORY [--only REGEX]

For each case: a postrider-sink with that latency or fault, first under the
same load from bench_easy (16 threads, each with one libcurl easy handle that it
uses again and again; where the daemon has one connection, one thread, too),
then, counted from zero, under the daemon. Its spool is filled while the relay
is not there; then the relay is, and when all sessions are established and a
second more has passed, the sink is asked how many messages it has taken, and
again after --seconds. The rate is the difference by the sink's own clock:
connecting, TLS and AUTH are not in it. A case in which the jobs ran out, one
failed or one came twice ends the benchmark with an error.

The last cases have two relays, of which one takes TCP connections and never
says a word (its connect_timeout here: 1s). What the other one delivers is
compared with what it delivers alone, medians of --runs, in turns; measured is
from the moment on at which the dead relay was found out.

BDAT, PIPELINE and ONE_BY_ONE are what the sink offers: CHUNKING and
PIPELINING, PIPELINING, neither. "daemon us" and "sink us" are CPU time a job.
Status 1 with --check when a target is missed.
"""

import argparse
import dataclasses
import re
import statistics
import sys
import time

from rig import (Bench, Sink, add_options, cpu_us, easy, free_port,
                 wait_until)

EASY_THREADS = 16
WITHOUT = {"BDAT": (), "PIPELINE": ("--without", "CHUNKING"),
           "ONE_BY_ONE": ("--without", "CHUNKING,PIPELINING")}
SINK_REMEMBERS = 1 << 21


@dataclasses.dataclass
class Case:
    name: str
    most: int  # jobs/s that are possible at all: how many are handed in
    target: object = None  # jobs/s, or the name of the case to be as fast as
    mode: str = "BDAT"
    connections: int = 1
    unconfirmed: int = 1
    recipients: int = 1
    sink: tuple = ()
    easy: bool = True
    settings: tuple = ()  # further ones of the relay


FAR = ("--latency", "20ms")
NEAR = ("--latency", "10ms")
SLOW = ("--fault", "final:delay=10ms")

CASES = (
    Case("20ms 1 connection", 25, 23, sink=FAR),
    Case("20ms 1 connection", 25, 23, "PIPELINE", sink=FAR),
    Case("20ms 1 connection", 25, None, "ONE_BY_ONE", sink=FAR),
    Case("20ms 1 connection, unconfirmed 16", 400, 350, unconfirmed=16,
         sink=FAR, settings=(("jobs_per_connection", 100000),)),
    Case("20ms 1, unconfirmed 16, made anew at 1000", 400, None,
         unconfirmed=16, sink=FAR, easy=False),
    Case("20ms 64 connections", 1600, 1400, connections=64, sink=FAR),
    Case("20ms 64 connections", 1600, 1400, "PIPELINE", 64, sink=FAR),
    Case("20ms 64 connections", 1600, None, "ONE_BY_ONE", 64, sink=FAR),
    Case("20ms 64 connections, 5 recipients", 1600, "20ms 64 connections",
         connections=64, recipients=5, sink=FAR),
    Case("20ms 64 connections, 5 recipients", 1600, "20ms 64 connections",
         "PIPELINE", 64, recipients=5, sink=FAR),
    Case("10ms 20 connections", 1000, 900, connections=20, sink=NEAR),
    Case("10ms 20 connections", 1000, 900, "PIPELINE", 20, sink=NEAR),
    Case("10ms 100 connections", 5000, 4200, connections=100, sink=NEAR),
    Case("10ms 100 connections", 5000, 4200, "PIPELINE", 100, sink=NEAR),
    Case("final reply after 10ms, 16 connections", 1600, 1400, connections=16,
         sink=SLOW),
    Case("final reply after 10ms, 16 connections", 1600, 1400, "PIPELINE", 16,
         sink=SLOW),
)

# How jobs can meet a dead relay beside one that lives.
LIVE_AND_DEAD = (
    ("a route each",
     '{ name = "default"; relays = [ "main" ]; }',
     '{ name = "other"; relays = [ "dead" ]; }'),
    ("failover, the dead one first",
     '{ name = "default"; relays = [ "dead", "main" ]; }'),
    ("shares of 1 and 1",
     '{ name = "default"; relays = [ "dead", "main" ]; weights = [ 1, 1 ]; }'),
)
ALONE = ("alone", '{ name = "default"; relays = [ "main" ]; }')
SHARE = 0.95


class RelayBench(Bench):
    """With one relay, or two of which one is dead."""

    def __init__(self, options, case, routes=ALONE[1:], dead=False):
        super().__init__(options, "sqlite")
        self.case = case
        self.route_list = routes
        self.dead = None
        self.dead_port = free_port() if dead else None

    def relays(self):
        more = {"connections": self.case.connections,
                **dict(self.case.settings)}
        if self.case.unconfirmed != 1:
            more["unconfirmed"] = self.case.unconfirmed
        found = [self.relay("main", self.port, **more)]
        if self.dead_port:
            found.append(self.relay("dead", self.dead_port,
                                    connect_timeout="1s", **more))
        return found

    def routes(self):
        return self.route_list

    def start(self):
        """The sink as the case wants it."""
        self.start_sink("--remember", str(SINK_REMEMBERS),
                        *self.case.sink, *WITHOUT[self.case.mode])

    def start_dead(self):
        self.dead = Sink("--smtps", f"127.0.0.1:{self.dead_port}", "--fault",
                         "accept:stall", log=False)

    def relay_stats(self, name):
        return next(relay for relay in self.stats()["relays"]
                    if relay["name"] == name)

    def close(self):
        super().close()
        if self.dead is not None:
            self.dead.stop()


def recipients_option(case):
    return ",".join(f"sink{i}@example.org" for i in range(case.recipients))


def fill(bench, seconds):
    """Jobs for so many seconds, while the relay is not there."""
    case = bench.case
    bench.load(int(case.most * (seconds + 4)) + 100, 8, 16, "--to",
               recipients_option(case))
    if bench.route_list[1:]:
        bench.load(5000, 8, 16, "--route", "other")


def ramp(bench):
    """Until all sessions are there, the dead relay is found out, and a second
    more for what was begun before."""
    wait_until(lambda: bench.relay_stats("main")["sessions"] >=
               bench.case.connections, "all sessions", 30)
    if bench.dead_port:
        wait_until(lambda: bench.relay_stats("dead")["state"] != "ready",
                   "the dead relay is found out", 30)
    time.sleep(1)


def check_window(bench, summary):
    """Nothing wrong, and the jobs did not run out."""
    stats = bench.stats()
    ledger = stats["ledger"]
    wrong = {key: summary[key] for key in
             ("duplicates", "pipelining_errors", "errors", "messages_refused",
              "recipients_refused", "no_message_id") if summary[key] != 0}
    if ledger["failed"] != 0 or wrong:
        raise SystemExit(f"bench: {bench.case.name}: {wrong} {stats}")
    under_way = bench.case.connections * bench.case.unconfirmed
    if ledger["waiting"] + ledger["active"] <= 2 * under_way:
        raise SystemExit(f"bench: {bench.case.name}: the jobs ran out")
    if summary["recipients"] != summary["messages"] * bench.case.recipients:
        raise SystemExit(f"bench: {bench.case.name}: recipients are missing")


def window(bench, seconds):
    """Figures of so many seconds, as the sink counts."""
    pids = bench.daemon.pid, bench.sink.pid
    first, used = bench.sink.summary(), [cpu_us(pid) for pid in pids]
    time.sleep(seconds)
    last, then = bench.sink.summary(), [cpu_us(pid) for pid in pids]
    check_window(bench, last)
    jobs = last["messages"] - first["messages"]
    if jobs == 0:
        raise SystemExit(f"bench: {bench.case.name}: nothing was delivered")
    return {
        "rate": jobs * 1000 / (last["uptime_ms"] - first["uptime_ms"]),
        "daemon_us": (then[0] - used[0]) / jobs,
        "sink_us": (then[1] - used[1]) / jobs,
    }


def deliver(bench, seconds):
    bench.start()  # for its certificate
    bench.stop_sink()
    bench.start_daemon()
    fill(bench, seconds)
    if bench.dead_port:
        bench.start_dead()
    bench.start()
    ramp(bench)
    found = window(bench, seconds)
    bench.kill_daemon()
    return found


def measure_easy(bench, threads):
    """Mails/s. The sink must have counted what was sent."""
    bench.start()
    found = easy(bench.bin, bench.port, bench.ca, "--threads", threads,
                 "--seconds", bench.options.easy_seconds, "--size",
                 bench.options.size, "--recipients", bench.case.recipients)
    summary = bench.stop_sink()
    if summary["messages"] != found["sent"] or summary["duplicates"] != 0:
        raise SystemExit(f"bench: easy: {found}, the sink saw {summary}")
    return found["per_second"]


def number(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def easy_column(bench):
    if not bench.case.easy:
        return "-"
    text = number(measure_easy(bench, EASY_THREADS))
    if bench.case.connections == 1:
        text += f" (1: {number(measure_easy(bench, 1))})"
    return text


def verdict(rate, target):
    if target is None:
        return "-", ""
    return number(target), "" if rate >= target else "MISSED"


def run_case(options, case, rates):
    """True unless a target was missed."""
    with RelayBench(options, case) as bench:
        beside = easy_column(bench)
        # One connection made anew after so many jobs: long enough for that.
        found = deliver(bench, options.seconds * (1 + (case.connections == 1)))
    rates[case.name, case.mode] = found["rate"]
    target = case.target
    if isinstance(target, str):
        target = SHARE * rates[target, case.mode] \
            if (target, case.mode) in rates else None
    wanted, missed = verdict(found["rate"], target)
    print(f"{case.name:46} {case.mode:10} {number(found['rate']):>8} "
          f"{wanted:>7} {beside:>16} {found['daemon_us']:9.1f} "
          f"{found['sink_us']:7.1f} {missed}", flush=True)
    return not missed


def run_dead(options, title, case):
    """One of two relays is dead: what the other one gives, in turns."""
    kinds = [ALONE, *LIVE_AND_DEAD]
    found = {kind[0]: [] for kind in kinds}
    with RelayBench(options, case) as bench:
        beside = easy_column(bench)
    for _ in range(options.runs):
        for name, *routes in kinds:
            with RelayBench(options, case, routes, name != ALONE[0]) as bench:
                found[name].append(deliver(bench, options.seconds))
    alone = statistics.median(row["rate"] for row in found[ALONE[0]])
    well = True
    for name, rows in found.items():
        rate = statistics.median(row["rate"] for row in rows)
        daemon = statistics.median(row["daemon_us"] for row in rows)
        sink = statistics.median(row["sink_us"] for row in rows)
        wanted, missed = verdict(
            rate, None if name == ALONE[0] else SHARE * alone)
        well = well and not missed
        print(f"{title + ', ' + name:57} {number(rate):>8} {wanted:>7} "
              f"{beside:>16} {daemon:9.1f} {sink:7.1f} "
              f"{100 * rate / alone:.0f} % {missed}", flush=True)
    return well


def main():
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--easy-seconds", type=int, default=4)
    parser.add_argument("--only", default="", help="cases that match")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rates = {}
    well = True
    print(f"mails of {options.size} bytes over SMTPS + AUTH, durable spool, "
          f"{options.workers} workers; {options.seconds} s a case; easy: "
          f"{EASY_THREADS} threads with a handle each (1: one thread)")
    print(f"{'case':46} {'mode':10} {'jobs/s':>8} {'target':>7} "
          f"{'easy':>16} {'daemon us':>9} {'sink us':>7}")
    for case in CASES:
        if re.search(options.only, f"{case.name} {case.mode}"):
            well = run_case(options, case, rates) and well
    dead = (
        ("dead relay beside 10ms",
         Case("", 1000, connections=20, sink=NEAR)),
        ("dead relay beside loopback",
         Case("", 36000, connections=16)),
    )
    for title, case in dead:
        case.name = title
        if re.search(options.only, title):
            well = run_dead(options, title, case) and well
    sys.exit(1 if options.check and not well else 0)


if __name__ == "__main__":
    main()
