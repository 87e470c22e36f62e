"""Judges a crash campaign by what clients, daemon and sink saw.

No process, no file: everything is in the Evidence, so that the judge can be
judged by evidence that was made up (test_checker.py).

Times are seconds since 1970 by the one clock of this machine.
"""
import collections
import dataclasses
from typing import Optional

LEDGER_PARTS = ("delivered", "failed", "expired", "cancelled", "waiting",
                "active", "held")
SETTLED = ("delivered", "failed", "held")


@dataclasses.dataclass
class Job:
    """One mail that a client wanted to hand over."""
    name: str                   # the local part of its sender, one of a kind
    recipients: dict            # address: "good" or "refused" (by the sink)
    hold: bool = False          # on_unknown
    key: Optional[str] = None   # idempotency_key; else handed over once only
    ids: list = dataclasses.field(default_factory=list)  # of answers "ok"


@dataclasses.dataclass
class Delivery:
    """One recipient of one message that the sink took."""
    name: str
    recipient: str
    at: float
    life: int                   # of the daemon that sent it
    message_id: str
    digest: Optional[str] = None  # of its bytes
    intact: bool = True         # the bytes are those of the job
    reply_lost: bool = False    # the sink closed without its answer


@dataclasses.dataclass
class Life:
    """A run of the daemon."""
    number: int
    died_at: float = 0.0
    killed: bool = True         # else it ended in order
    how: str = ""
    # Of a job id: when its settlements were logged, which is after the commit.
    settled_at: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Evidence:
    jobs: list
    deliveries: list
    lives: list
    status: dict                # of a job id: the protocol's "job", or None
    ledger: dict
    in_flight_max: int          # jobs that can be on the wire at one time
    window_s: float = 2.0       # from the relay's answer to the commit


@dataclasses.dataclass
class Verdict:
    findings: list = dataclasses.field(default_factory=list)
    accepted: int = 0
    delivered: int = 0
    by_kill: dict = dataclasses.field(
        default_factory=lambda: collections.defaultdict(set))
    by_lost_reply: int = 0

    def found(self, kind, text):
        self.findings.append((kind, text))

    def kinds(self):
        return {kind for kind, _ in self.findings}

    @property
    def duplicates_by_kill(self):
        return sum(len(pairs) for pairs in self.by_kill.values())


def job_of(message_id):
    """The daemon makes the Message-ID of the job's id."""
    return message_id.strip("<>").split("@")[0]


def check(evidence):
    verdict = Verdict()
    took = collections.defaultdict(list)
    for delivery in evidence.deliveries:
        took[delivery.name, delivery.recipient].append(delivery)
    for one in took.values():
        one.sort(key=lambda d: (d.life, d.at))
    jobs = {job.name: job for job in evidence.jobs}
    check_senders(evidence, jobs, verdict)
    for job in evidence.jobs:
        if job.ids:
            check_accepted(job, evidence, took, verdict)
    check_duplicates(evidence, jobs, took, verdict)
    check_ledger(evidence, verdict)
    return verdict


def check_senders(evidence, jobs, verdict):
    """One job for each mail, and the same bytes each time."""
    messages = collections.defaultdict(set)
    digests = collections.defaultdict(set)
    for d in evidence.deliveries:
        if d.name not in jobs:
            verdict.found("invented", f"{d.name} was never handed over")
            continue
        messages[d.name].add(d.message_id)
        digests[d.message_id].add(d.digest)
        if not d.intact:
            verdict.found("damaged", f"{d.name} for {d.recipient}: other "
                                     "bytes than those handed over")
        if d.recipient not in jobs[d.name].recipients:
            verdict.found("invented", f"{d.name}: {d.recipient} is none of "
                                      "its recipients")
    for name, ids in messages.items():
        if len(ids) > 1:
            verdict.found("twice", f"{name} became {len(ids)} jobs: {ids}")
    for message_id, found in digests.items():
        if len(found) > 1:
            verdict.found("damaged", f"{message_id}: its bytes differ from "
                                     "attempt to attempt")


def check_accepted(job, evidence, took, verdict):
    """A job that was answered "ok"."""
    verdict.accepted += 1
    if len(set(job.ids)) > 1:
        verdict.found("twice", f"{job.name}: one key, ids {set(job.ids)}")
    status = evidence.status.get(job.ids[0])
    if status is None:
        verdict.found("lost", f"{job.name} {job.ids[0]}: accepted, and the "
                              "daemon does not know it")
        status = {"state": "unknown to the daemon", "recipients": []}
    elif status["state"] not in SETTLED:
        verdict.found("stuck", f"{job.name} {job.ids[0]} is "
                               f"{status['state']}")
    if status["state"] == "held" and not job.hold:
        verdict.found("stuck", f"{job.name} {job.ids[0]} is held, and should "
                               "have been tried again")
    states = {r["address"]: r["state"] for r in status["recipients"]}
    for address, kind in job.recipients.items():
        check_recipient(job, address, kind, status["state"],
                        states.get(address), took, verdict)


def check_recipient(job, address, kind, job_state, state, took, verdict):
    arrived = len(took.get((job.name, address), ()))
    where = f"{job.name} {job.ids[0]} for {address}"
    if arrived:
        verdict.delivered += 1
    if state == "delivered" and not arrived:
        verdict.found("lost", f"{where}: recorded as delivered, and never "
                              "arrived")
    elif kind == "refused":
        if arrived:
            verdict.found("invented", f"{where}: arrived where it is refused")
        if state != "failed" and job_state != "held":
            verdict.found("lost", f"{where}: refused, and no failure is on "
                                  f"record ({state})")
    elif not arrived and job_state != "held":
        verdict.found("lost", f"{where}: did not arrive, job {job_state}, "
                              f"recipient {state}")


def check_duplicates(evidence, jobs, took, verdict):
    lives = {life.number: life for life in evidence.lives}
    for (name, recipient), deliveries in took.items():
        job = jobs.get(name)
        if job is None or len(deliveries) < 2:
            continue
        if job.hold:
            verdict.found("twice", f"{name} for {recipient}: on_unknown is "
                          f"hold, and it came {len(deliveries)} times")
        for first, second in zip(deliveries, deliveries[1:]):
            why_not = explain(first, second, lives, evidence, verdict)
            if why_not:
                verdict.found("duplicate", f"{name} {job.ids[:1]} for "
                              f"{recipient} at {first.at:.3f} in life "
                              f"{first.life} and at {second.at:.3f} in life "
                              f"{second.life}: {why_not}")
    for number, names in verdict.by_kill.items():
        if len({name for name, _ in names}) > evidence.in_flight_max:
            verdict.found("in flight", f"the kill of life {number} "
                          f"({lives[number].how}) doubled "
                          f"{len({name for name, _ in names})} mails, "
                          f"{evidence.in_flight_max} can be in flight")


def explain(first, second, lives, evidence, verdict):
    """Why this duplicate has no excuse; None: it has one."""
    if first.reply_lost:
        verdict.by_lost_reply += 1
        return None
    if first.life == second.life:
        return "no kill between them"
    life = lives[first.life]
    if not life.killed:
        return "the daemon ended in order between them"
    after = [at for at in life.settled_at.get(job_of(first.message_id), ())
             if at >= first.at]
    if after:
        return (f"its settlement was committed at {after[0]:.3f}, before "
                f"the kill at {life.died_at:.3f}")
    if first.at < life.died_at - evidence.window_s:
        return (f"it was sent {life.died_at - first.at:.3f} s before the "
                "kill, and not settled since")
    verdict.by_kill[first.life].add((first.name, first.recipient))
    return None


def check_ledger(evidence, verdict):
    ledger = evidence.ledger
    total = sum(ledger[part] for part in LEDGER_PARTS)
    if ledger["accepted"] != total:
        verdict.found("ledger", f"accepted {ledger['accepted']}, the rest "
                                f"{total}: {ledger}")
    ids = {job_id for job in evidence.jobs for job_id in job.ids}
    if not len(ids) <= ledger["accepted"] <= len(evidence.jobs):
        verdict.found("ledger", f"accepted {ledger['accepted']}: "
                      f"{len(ids)} were answered, {len(evidence.jobs)} "
                      "handed over")
    if ledger["waiting"] or ledger["active"]:
        verdict.found("stuck", f"not all is settled: {ledger}")
    states = collections.Counter(
        status["state"] for status in evidence.status.values() if status)
    for part in ("delivered", "failed", "held"):
        if ledger[part] < states[part]:
            verdict.found("ledger", f"{part} {ledger[part]}, and "
                                    f"{states[part]} jobs say so")
