#!/usr/bin/python3
"""The judge of the crash campaign, judged by evidence that is made up."""

import copy
import unittest

from checker import Delivery, Evidence, Job, Life, check

GOOD, BAD = "ann@x.test", "refused-1@x.test"


def status(state, **recipients):
    """ann="delivered", bad="failed"."""
    names = {"ann": GOOD, "bad": BAD}
    return {"state": state,
            "recipients": [{"address": names[who], "state": what}
                           for who, what in recipients.items()]}


def evidence():
    """Two lives, the first killed at 100.0; two jobs, all well."""
    return Evidence(
        jobs=[Job("a", {GOOD: "good", BAD: "refused"}, ids=["1"]),
              Job("b", {GOOD: "good"}, key="k", ids=["2", "2"])],
        deliveries=[Delivery("a", GOOD, 99.0, 1, "<1@h>", "x"),
                    Delivery("b", GOOD, 99.9, 1, "<2@h>", "y")],
        lives=[Life(1, died_at=100.0, how="test",
                    settled_at={"1": [99.1], "2": [99.95]}),
               Life(2, died_at=200.0, killed=False)],
        status={"1": status("failed", ann="delivered", bad="failed"),
                "2": status("delivered", ann="delivered")},
        ledger={"accepted": 2, "delivered": 1, "failed": 1, "expired": 0,
                "cancelled": 0, "waiting": 0, "active": 0, "held": 0},
        in_flight_max=2)


def again(e, at=100.5, life=2, **fields):
    """The mail of b arrives once more."""
    e.deliveries.append(Delivery("b", GOOD, at, life, "<2@h>", "y", **fields))


class Checker(unittest.TestCase):
    def verdict(self, change):
        e = copy.deepcopy(evidence())
        change(e)
        return check(e)

    def assert_finds(self, kind, change):
        verdict = self.verdict(change)
        self.assertEqual(verdict.kinds(), {kind}, verdict.findings)

    def assert_well(self, change):
        verdict = self.verdict(change)
        self.assertEqual(verdict.findings, [])
        return verdict

    def test_all_is_well(self):
        verdict = self.assert_well(lambda e: None)
        self.assertEqual((verdict.accepted, verdict.delivered), (2, 2))
        self.assertEqual(verdict.duplicates_by_kill, 0)

    # ---- lost ----

    def test_a_job_that_the_daemon_forgot(self):
        def change(e):
            e.status["1"] = None
        self.assert_finds("lost", change)

    def test_a_job_that_never_arrived(self):
        def change(e):
            del e.deliveries[1]
        self.assert_finds("lost", change)

    def test_a_good_recipient_recorded_as_failed(self):
        def change(e):
            del e.deliveries[1]
            e.status["2"] = status("failed", ann="failed")
            e.ledger.update(delivered=0, failed=2)
        self.assert_finds("lost", change)

    def test_a_refused_recipient_without_a_record(self):
        def change(e):
            e.status["1"] = status("failed", ann="delivered", bad="deferred")
        self.assert_finds("lost", change)

    def test_a_job_that_nobody_was_told_of_may_be_lost(self):
        def change(e):
            e.jobs.append(Job("c", {GOOD: "good"}))
        self.assert_well(change)

    def test_held_is_on_record_if_it_was_asked_for(self):
        def change(e):
            del e.deliveries[1]
            e.jobs[1].hold = True
            e.status["2"] = status("held", ann="unknown")
            e.ledger.update(delivered=0, held=1)
        self.assert_well(change)

        def unasked(e):
            change(e)
            e.jobs[1].hold = False
        self.assert_finds("stuck", unasked)

    def test_a_job_that_is_not_settled(self):
        def change(e):
            e.status["2"]["state"] = "deferred"
            e.ledger.update(delivered=0, waiting=1)
        self.assert_finds("stuck", change)

    # ---- duplicates ----

    def unsettled(self, e):
        e.lives[0].settled_at = {}

    def test_a_duplicate_across_a_kill_is_explained(self):
        def change(e):
            self.unsettled(e)
            again(e)
        self.assertEqual(self.assert_well(change).duplicates_by_kill, 1)

    def test_but_not_if_its_settlement_was_committed(self):
        self.assert_finds("duplicate", again)

    def test_a_settlement_of_an_attempt_before_it_does_not_count(self):
        def change(e):
            e.lives[0].settled_at = {"2": [99.8]}
            again(e)
        self.assert_well(change)

    def test_nor_if_it_was_sent_long_before_the_kill(self):
        def change(e):
            self.unsettled(e)
            e.deliveries[1].at = 90.0
            again(e)
        self.assert_finds("duplicate", change)

    def test_nor_without_a_kill(self):
        def same_life(e):
            self.unsettled(e)
            again(e, at=99.95, life=1)
        self.assert_finds("duplicate", same_life)

        def in_order(e):
            self.unsettled(e)
            e.lives[0].killed = False
            again(e)
        self.assert_finds("duplicate", in_order)

    def test_the_bytes_of_a_dead_daemon_may_be_read_after_its_death(self):
        def change(e):
            self.unsettled(e)
            e.deliveries[1].at = 100.2
            again(e)
        self.assert_well(change)

    def test_a_kill_cannot_double_more_than_was_in_flight(self):
        def change(e):
            self.unsettled(e)
            for n in range(3):
                name = f"m{n}"
                e.jobs.append(Job(name, {GOOD: "good"}))
                e.deliveries += [
                    Delivery(name, GOOD, 99.9, 1, f"<{name}>", "x"),
                    Delivery(name, GOOD, 100.5, 2, f"<{name}>", "x")]
            e.ledger.update(accepted=5, delivered=4)
        self.assert_finds("in flight", change)

    def test_an_answer_that_the_sink_kept_back_explains_one(self):
        def change(e):
            e.deliveries[1].reply_lost = True
            again(e, at=99.95, life=1)
        verdict = self.assert_well(change)
        self.assertEqual(verdict.by_lost_reply, 1)
        self.assertEqual(verdict.duplicates_by_kill, 0)

    def test_hold_never_comes_twice_whatever_the_reason(self):
        def change(e):
            self.unsettled(e)
            e.jobs[1].hold = True
            again(e)
        self.assert_finds("twice", change)

    def test_one_key_is_one_job(self):
        def two_ids(e):
            e.jobs[1].ids = ["2", "3"]
            e.status["3"] = e.status["2"]
            e.ledger.update(accepted=2)
        self.assertIn("twice", self.verdict(two_ids).kinds())

        def two_messages(e):
            self.unsettled(e)
            again(e)
            e.deliveries[-1].message_id = "<9>"
        self.assert_finds("twice", two_messages)

    # ---- bytes and numbers ----

    def test_damaged_bytes(self):
        def change(e):
            e.deliveries[0].intact = False
        self.assert_finds("damaged", change)

        def differ(e):
            self.unsettled(e)
            again(e)
            e.deliveries[-1].digest = "z"
        self.assert_finds("damaged", differ)

    def test_mail_that_nobody_handed_over(self):
        def change(e):
            e.deliveries.append(Delivery("z", GOOD, 99.0, 1, "<z>"))
        self.assert_finds("invented", change)

        def refused(e):
            e.deliveries.append(Delivery("a", BAD, 99.0, 1, "<1@h>", "x"))
        self.assert_finds("invented", refused)

    def test_a_ledger_that_does_not_add_up(self):
        for part, value in (("accepted", 3), ("delivered", 0),
                            ("cancelled", 1)):
            def change(e, part=part, value=value):
                e.ledger[part] = value
            with self.subTest(part):
                self.assertIn("ledger", self.verdict(change).kinds())

    def test_a_ledger_that_forgot_jobs(self):
        def change(e):
            e.ledger.update(accepted=1, delivered=0)
        self.assert_finds("ledger", change)

    def test_a_ledger_with_more_jobs_than_were_handed_over(self):
        def change(e):
            e.ledger.update(accepted=3, delivered=2)
        self.assert_finds("ledger", change)


if __name__ == "__main__":
    unittest.main()
