#!/usr/bin/python3
"""Kills the daemon again and again, and looks whether it kept its word.

The real daemon, under load from several clients, in front of a sink with
faults, is killed at random moments, at chosen system calls and by losses of
power, and started again on the same spool. In the end the judge (checker.py)
compares what clients were told, what the sink took and what the daemon says.
docs/reliability.md tells more.
"""
import argparse
import collections
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "integration"))

# pylint: disable=wrong-import-position
import lives  # noqa: E402
import load  # noqa: E402
import power  # noqa: E402
from checker import Delivery, Evidence, check  # noqa: E402
from harness import Sink, binary, wait_until  # noqa: E402

CONNECTIONS = 6
# Jobs of one connection whose settlements are not on disk yet, at most.
UNSETTLED = 4
CLIENTS = 8
SKIPPED = 77
KILLED = -9


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=None,
                        help="a random one if not given; it is printed")
    parser.add_argument("--rate", type=float, default=250.0,
                        help="jobs a second, of all clients")
    parser.add_argument("--backend", default="sqlite",
                        choices=("sqlite", "memory"))
    parser.add_argument("--ignore-sync", action="store_true",
                        help="syncs have no effect, and each kill is a loss "
                             "of power: the campaign must fail")
    parser.add_argument("--expect", default=None, metavar="KIND",
                        help="succeed only if findings of this kind come up")
    parser.add_argument("--keep", action="store_true",
                        help="keep the directory even if all is well")
    return parser.parse_args()


class Broken(Exception):
    """The campaign cannot go on."""


class Mails:
    """What the sink keeps, checked and removed as it comes."""

    def __init__(self, directory, ledger):
        self.directory = os.path.join(directory, "new")
        self.ledger = ledger
        self.seen = {}          # of a file's name: digest, is it intact

    def collect(self):
        for entry in os.scandir(self.directory):
            content = pathlib.Path(entry.path).read_bytes()
            os.unlink(entry.path)
            self.seen[entry.name] = self.judge(content)

    def judge(self, content):
        head, _, message = content.partition(b"X-Envelope-Connection: ")
        message = message.partition(b"\r\n")[2]
        sender = head.partition(b"X-Envelope-From: ")[2].partition(b"@")[0]
        name = sender.decode()
        size = self.ledger.sizes.get(name)
        body = message.partition(b"\r\n\r\n")[2]
        intact = size is not None and body == load.text_of(
            name, size).replace("\n", "\r\n").encode()
        return hashlib.sha256(message).hexdigest()[:16], intact


def relay_kept_answer_back(line):
    return (line["event"] == "fault" and line["stage"] == "final" and
            "drop" in line["rule"] and "discard" not in line["rule"])


def deliveries_of(log, seen):
    """What one sink took, from its log."""
    found = []
    last = {}                   # of (connection, sender): its deliveries
    silent = set()
    for line in log:
        who = (line["connection"], line.get("from"))
        if relay_kept_answer_back(line):
            silent.add(who)
        if line["event"] != "message":
            continue
        digest, intact = seen[os.path.basename(line["file"])]
        last[who] = [Delivery(
            name=line["from"].split("@")[0], recipient=recipient,
            at=lives.seconds(line["time"]),
            life=int(line["auth"].split("-")[1]),
            message_id=line["message_id"], digest=digest, intact=intact)
            for recipient in line["to"]]
        found += last[who]
    for who in silent:
        for delivery in last.get(who, ()):
            delivery.reply_lost = True
    return found


class Campaign:
    def __init__(self, options):
        self.options = options
        self.rng = random.Random(options.seed)
        self.directory = os.path.realpath(tempfile.mkdtemp(prefix="crash-"))
        self.live = os.path.join(self.directory, "spool")
        os.mkdir(self.live, mode=0o700)
        self.shadow = power.Shadow(self.live)
        self.mail = os.path.join(self.directory, "mail")
        self.lives = []
        self.deliveries = []
        self.kinds = collections.Counter()
        self.sink = None
        self.start_sink(load.FAULTS)
        self.load = load.Load(options.seed, CLIENTS, options.rate)
        self.mails = Mails(self.mail, self.load.ledger)
        self.started = []       # when each life was

    def start_sink(self, faults):
        options = ["--smtp", "127.0.0.1:0", "--dir", self.mail, "--seed",
                   str(self.options.seed)]
        for fault in faults:
            options += ["--fault", fault]
        self.sink = Sink(*options)

    def take_sink(self):
        """What it took so far, and its end."""
        self.sink.finish()
        self.mails.collect()
        self.deliveries += deliveries_of(self.sink.log(), self.mails.seen)
        self.sink.__exit__(None, None, None)
        self.sink = None

    def config(self, number):
        host, port = self.sink.address("smtp")
        where = (f'path = "{self.live}/spool.db";'
                 if self.options.backend == "sqlite" else "")
        return f"""
hostname = "crash.test";
listen = ( {{ type = "tcp"; port = 0; }},
           {{ type = "unix"; path = "{self.directory}/sock"; }} );
relays = ( {{ name = "main"; url = "smtp://{host}:{port}"; tls = "none";
              username = "life-{number}"; password_env = "CRASH_PASSWORD";
              connections = {CONNECTIONS}; backoff_first = "20ms";
              backoff_longest = "200ms"; }} );
spool = {{ backend = "{self.options.backend}"; {where} }};
retry = {{ first = "50ms"; longest = "400ms"; jitter = 0.5; }};
"""

    def start(self, plan):
        number = len(self.lives) + 1
        env = lives.environment(self.shadow, plan, self.options.ignore_sync)
        env["CRASH_PASSWORD"] = "none"
        run = lives.Run(number, self.config(number), self.directory, env)
        self.lives.append(run.life)
        self.started.append(run.started_at)
        return run

    def kill_once(self):
        plan = lives.choose(self.rng)
        if self.options.ignore_sync:
            plan.power = "all"
        run = self.start(plan)
        status = run.end_by(plan, self.load.door)
        if status != KILLED:
            raise Broken(f"life {run.life.number} ({plan.how}) ended with "
                         f"{status}:\n{run.daemon.log()[-3000:]}")
        if plan.power:
            run.life.how += f", {plan.power} unsynced lost"
            self.shadow.lose(self.rng if plan.power == "some" else None)
        self.kinds[(plan.call or "random").split(":")[0]] += 1
        self.kinds["power"] += plan.power is not None
        self.mails.collect()

    def settle(self):
        """The last life: nothing fails any more, all is settled."""
        self.take_sink()
        self.start_sink(load.HEALTHY)
        run = self.start(None)
        if not run.wait_ready():
            raise Broken(f"the last start failed:\n{run.daemon.log()[-3000:]}")
        self.load.door.open(run.daemon, run.life.number)
        try:
            if not self.load.finish(60) and not self.options.expect:
                raise Broken("clients could not hand over all they had")
            ledger = wait_until(lambda: self.settled(run.daemon),
                                "all is settled", 60)
            status = self.ask_status(run.daemon)
        except AssertionError as error:
            raise Broken(f"{error}: {run.daemon.stats()}\n"
                         f"{run.daemon.log()[-3000:]}") from error
        finally:
            ended = run.daemon.stop()
            run.dead("in order", killed=False)
        if ended != 0:
            raise Broken(f"the last life ended with {ended}:\n"
                         f"{run.daemon.log()[-3000:]}")
        self.take_sink()
        return status, ledger

    @staticmethod
    def settled(daemon):
        ledger = daemon.stats()["ledger"]
        if ledger["waiting"] + ledger["active"] == 0:
            return ledger
        time.sleep(0.05)
        return None

    def ask_status(self, daemon):
        ids = sorted({job_id for job in self.load.ledger.jobs.values()
                      for job_id in job.ids})
        with daemon.unix() as client:
            answers = client.ask_all([{"op": "status", "id": job_id}
                                      for job_id in ids])
        return {job_id: answer.get("job") for job_id, answer
                in zip(ids, answers)}

    def verify(self):
        """What postriderd --verify says about the spool; None: nothing."""
        if self.options.backend != "sqlite":
            return None
        done = subprocess.run(
            [binary("postriderd"), "-c",
             os.path.join(self.directory, "postrider.conf"), "--verify"],
            env={**os.environ, "CRASH_PASSWORD": "none"}, timeout=120,
            capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return None
        return f"--verify ended with {done.returncode}: {done.stdout[-2000:]}" \
               f"{done.stderr[-2000:]}"

    def run(self):
        for n in range(self.options.kills):
            self.kill_once()
            if (n + 1) % 50 == 0:
                print(f"  {n + 1} kills, {len(self.load.ledger.jobs)} jobs",
                      flush=True)
        status, ledger = self.settle()
        evidence = Evidence(
            jobs=list(self.load.ledger.jobs.values()),
            deliveries=self.deliveries, lives=self.lives, status=status,
            ledger=ledger, in_flight_max=CONNECTIONS * UNSETTLED)
        verdict = check(evidence)
        for name, answer in self.load.ledger.refusals:
            verdict.found("refused", f"{name}: {json.dumps(answer)}")
        for failure in self.load.failures():
            verdict.found("client", failure)
        text = self.verify()
        if text:
            verdict.found("verify", text)
        return verdict

    def first_accepts(self):
        """From each start to the first "ok", in ms, sorted."""
        first = self.load.ledger.first_ok
        return sorted((first[life.number] - started) * 1000
                      for life, started in zip(self.lives, self.started)
                      if life.number in first)

    def stop(self, keep):
        self.load.abandon()
        if self.sink is not None:
            self.sink.__exit__(None, None, None)
        if keep:
            print(f"kept: {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


def report(campaign, verdict, took_s):
    jobs = campaign.load.ledger.jobs
    per_kill = [len({name for name, _ in pairs})
                for pairs in verdict.by_kill.values()]
    first = campaign.first_accepts()
    kinds = ", ".join(f"{kind} {count}" for kind, count
                      in sorted(campaign.kinds.items()) if kind != "power")
    print(f"kills: {campaign.options.kills} ({kinds}), "
          f"{campaign.kinds['power']} of them with a loss of power")
    ledger = campaign.load.ledger
    print(f"jobs: {len(jobs)} handed over, {verdict.accepted} answered ok; "
          f"handed over again under their key and found: "
          f"{ledger.found_again - ledger.asked_again} whose answer was lost, "
          f"{ledger.asked_again} others")
    print(f"deliveries: {len(campaign.deliveries)}, duplicates: "
          f"{verdict.duplicates_by_kill} by a kill (at most "
          f"{max(per_kill, default=0)} jobs by one, "
          f"{CONNECTIONS * UNSETTLED} allowed), "
          f"{verdict.by_lost_reply} by answers that the sink kept back")
    if first:
        print(f"start to first accept: median {first[len(first) // 2]:.0f} "
              f"ms, longest {first[-1]:.0f} ms")
    print(f"time: {took_s:.0f} s")


def judge(options, verdict):
    count = collections.Counter(kind for kind, _ in verdict.findings)
    shown = collections.Counter()
    for kind, text in verdict.findings:
        shown[kind] += 1
        if shown[kind] <= (2 if options.expect else 10):
            print(f"FOUND {kind}: {text}")
    if options.expect:
        well = count[options.expect] > 0
        print(f"{count[options.expect]} times \"{options.expect}\", as there "
              f"should be" if well else f"no \"{options.expect}\" was found")
        return well
    print("all is well" if not count else f"findings: {dict(count)}")
    return not count


def main():
    options = arguments()
    if os.environ.get("POSTRIDER_SANITIZE"):
        print("preloaded libraries do not go with sanitizers: skipped")
        return SKIPPED
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    print(f"crash campaign: seed {options.seed}", flush=True)
    began = time.monotonic()
    campaign = Campaign(options)
    well = False
    try:
        verdict = campaign.run()
        report(campaign, verdict, time.monotonic() - began)
        well = judge(options, verdict)
    except Broken as error:
        print(f"FOUND broken: {error}")
    finally:
        campaign.stop(options.keep or not well)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
