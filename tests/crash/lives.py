"""Lives of a daemon: how each is to end, and how it did."""

import dataclasses
import datetime
import math
import os
import re
import signal
import subprocess
import threading
import time
from typing import Optional

from checker import Life
from harness import binary
from service import Daemon

# Calls at which the daemon is killed: how often, and up to the n-th.
CALLS = (("write", 30, 2000), ("sync", 30, 500), ("send", 30, 3000),
         ("truncate", 3, 3), ("rename", 4, 6), ("unlink", 3, 8))
UNREACHED_S = 1.2

SETTLEMENT = re.compile(
    r"(?P<time>\S+Z) \w+ event=job\.(?:delivered|deferred|failed|held|expired)"
    r" job=(?P<job>\S+)")


@dataclasses.dataclass
class Plan:
    """How a life is to end."""
    how: str
    delay_s: float              # SIGKILL so long after the start, or "ready"
    from_start: bool = False
    call: Optional[str] = None  # CRASH_AT
    power: Optional[str] = None  # "all" or "some" of what was not synced goes


def choose(rng):
    power = rng.choice((None, None, "all", "some"))
    if rng.random() < 0.55:
        kind, _, most = rng.choices(CALLS, [call[1] for call in CALLS])[0]
        number = int(math.exp(rng.uniform(0, math.log(most + 1))))
        when = rng.choice(("before", "after", "half")
                          if kind in ("write", "send") else
                          ("before", "after"))
        call = f"{kind}:{number}:{when}"
        return Plan(f"at {call}", UNREACHED_S, call=call, power=power)
    if rng.random() < 0.15:
        delay_s = rng.uniform(0, 0.1)
        return Plan(f"{delay_s:.3f} s after the start", delay_s, True,
                    power=power)
    delay_s = rng.uniform(0.02, 0.8)
    return Plan(f"{delay_s:.3f} s after ready", delay_s, power=power)


def environment(shadow, plan, ignore_sync):
    env = {**os.environ, **shadow.environment(),
           "CRASH_UNDER": shadow.live,
           "LD_PRELOAD": " ".join(binary(f"preload_{name}.so")
                                  for name in ("kill", "power"))}
    if ignore_sync:
        env["POWER_IGNORE_SYNC"] = "1"
    if plan is not None and plan.call is not None:
        env["CRASH_AT"] = plan.call
    return env


def seconds(text):
    return datetime.datetime.fromisoformat(
        text.replace("Z", "+00:00")).timestamp()


class Run:
    """One life of the daemon: started, met by clients, killed."""

    def __init__(self, number, config, directory, env):
        self.life = Life(number)
        self.started_at = time.time()
        self.daemon = Daemon(config, directory, env=env, wait_ready=False)

    def wait_ready(self):
        """False: it died before."""
        try:
            self.daemon.ready_line = self.daemon.wait_line(Daemon.is_ready,
                                                           "stderr")
        except AssertionError:
            try:
                self.daemon.process.wait(1)
                return False
            except subprocess.TimeoutExpired:
                self.daemon.stop(signal.SIGKILL)
                raise
        self.daemon.find_doors()
        return True

    def end_by(self, plan, door):
        """Lives until the plan is fulfilled. Returns the exit status."""
        timer = threading.Timer(plan.delay_s, self.daemon.process.kill)
        if plan.from_start:
            timer.start()
        try:
            if self.wait_ready():
                door.open(self.daemon, self.life.number)
                if not plan.from_start:
                    timer.start()
                self.daemon.process.wait(plan.delay_s + 10)
        finally:
            timer.cancel()
            door.close()
        return self.dead(plan.how, True)

    def dead(self, how, killed):
        status = self.daemon.stop(signal.SIGKILL)
        self.life.died_at = time.time()
        self.life.how = how
        self.life.killed = killed
        for line in self.daemon.written["stderr"]:
            found = SETTLEMENT.match(line)
            if found:
                self.life.settled_at.setdefault(found["job"], []).append(
                    seconds(found["time"]))
        return status
