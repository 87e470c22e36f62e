"""How fast relays are given mails: rates, and relays that say "too fast".

Only upper bounds are told by time, and only such that a machine that stalls
cannot break them: a mail cannot be accepted before it was given a token. What
a stalled sink can fake is looked at in three runs, of which one must be right.
"""

import datetime
import shutil
import tempfile
import time
import unittest

from harness import Sink, wait_until
from service import Daemon, Service, mail, relay_text, spool

TOO_FAST = "454 Throttling failure: Maximum sending rate exceeded."
GRANULE_S = 0.002  # of the sink's clock, and of ours beside it
JITTER_S = 0.15    # from a token to the sink's acceptance: a connection, too


def seconds(text):
    return datetime.datetime.fromisoformat(
        text.replace("Z", "+00:00")).timestamp()


def submit(service, count, **fields):
    with service.tcp() as client:
        answers = client.ask_all([mail(subject=f"mail {n}", **fields)
                                  for n in range(count)])
    for answer in answers:
        if not answer["ok"]:
            raise AssertionError(answer)
    return [answer["id"] for answer in answers]


def relay(service, name="main"):
    (found,) = [r for r in service.stats()["relays"] if r["name"] == name]
    return found


class Pair:
    """A daemon with two relays, "left" and "right", and a route to each."""

    def __init__(self, sinks=((), ()), settings=("", "")):
        self.directory = tempfile.mkdtemp(prefix="pair-")
        self.parts = []
        try:
            self.start(sinks, settings)
        except BaseException:
            self.stop()
            raise

    def start(self, sinks, settings):
        names = ("left", "right")
        for options in sinks:
            self.parts.append(Sink("--smtp", "127.0.0.1:0", *options))
        self.sinks = dict(zip(names, self.parts))
        relays = ", ".join(
            relay_text(name, "smtp", self.sinks[name].address("smtp"),
                       f'tls = "none"; {more}')
            for name, more in zip(names, settings))
        routes = ", ".join(f'{{ name = "{name}"; relays = [ "{name}" ]; }}'
                           for name in names)
        self.daemon = Daemon(f"""
listen = ( {{ type = "tcp"; port = 0; }},
           {{ type = "unix"; path = "{self.directory}/sock"; }} );
relays = ( {relays} );
routes = ( {routes} );
{spool(self.directory)}
shutdown = {{ drain = "1s"; }};
""", self.directory)
        self.parts.append(self.daemon)
        for name in ("tcp", "unix", "stats", "settled", "status", "log"):
            setattr(self, name, getattr(self.daemon, name))

    def stop(self):
        status = 0
        for part in reversed(self.parts):
            if isinstance(part, Daemon):
                status = part.stop()
            else:
                part.__exit__(None, None, None)
        shutil.rmtree(self.directory, ignore_errors=True)
        if status != 0:
            raise AssertionError(f"postriderd ended with {status}")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


class TooFast(unittest.TestCase):
    def check(self, fault, relay_settings=""):
        """Some mails are throttled: all arrive, in their first attempt."""
        with Service(sink=["--fault", fault], relay=relay_settings,
                     retry='first = "1h";') as service:
            jobs = submit(service, 12)
            for job in jobs:
                status = service.settled(job)
                self.assertEqual(status["state"], "delivered", status)
                self.assertEqual(status["attempts"], 1, status)
                (one,) = status["recipients"]
                self.assertEqual(one["attempts"], 1, status)
            subjects = [str(m["Subject"]) for m in service.messages()]
            self.assertEqual(sorted(subjects),
                             sorted(f"mail {n}" for n in range(12)))
            stats = service.stats()
            main = relay(service)
            self.assertEqual(main["state"], "ready", main)
            self.assertEqual(main["deferred"], 0, main)
            self.assertEqual(main["throttled"], 3, main)
            self.assertEqual(stats["counters"]["recipients_throttled"], 3)
            log = service.log()
            self.assertIn(" warning event=relay.slowed relay=main rate=", log)
            self.assertNotIn("relay.backing_off", log)
            return log, main

    def test_at_the_end_of_a_message(self):
        log, _ = self.check(f"final:skip=2,count=3,reply={TOO_FAST}")
        self.assertIn(f'reply="{TOO_FAST}"', log)

    def test_at_mail(self):
        self.check("mail:skip=2,count=3,"
                   "reply=450 4.7.1 Error: too much mail from 192.0.2.1")

    def test_at_rcpt(self):
        self.check("rcpt:skip=2,count=3,"
                   "reply=450 4.7.1 Error: too many recipients from 192.0.2.1")

    def test_at_data(self):
        self.check("data:skip=2,count=3,"
                   "reply=451 4.7.500 Server busy. Please try again later",
                   "chunking = false;")

    def test_a_configured_rate_is_halved(self):
        log, main = self.check(f"final:skip=2,count=3,reply={TOO_FAST}",
                               'rate = "400/s";')
        self.assertIn("event=relay.slowed relay=main rate=200/s ", log)
        self.assertLessEqual(main["rate"], 400)

    def test_the_rate_grows_until_it_is_what_was_configured(self):
        with Service(sink=["--fault", f"final:count=1,reply={TOO_FAST}"],
                     relay='rate = "2/s";') as service:
            (job,) = submit(service, 1)
            wait_until(lambda: relay(service)["slowed"], "the relay slowed")
            self.assertLess(relay(service)["rate"], 2)
            self.assertEqual(service.settled(job)["state"], "delivered")
            wait_until(lambda: not relay(service)["slowed"], "its rate back")
            self.assertEqual(relay(service)["rate"], 2)
            self.assertIn(" info event=relay.at_speed relay=main rate=2/s",
                          service.log())

    def test_a_421_ends_the_session_and_no_more(self):
        with Service(sink=["--fault", "mail:skip=3,count=2,reply=421 4.7.0 mx "
                           "Error: too many connections from 192.0.2.1"],
                     relay="connections = 1;") as service:
            for job in submit(service, 10):
                status = service.settled(job)
                self.assertEqual((status["state"], status["attempts"]),
                                 ("delivered", 1))
            self.assertEqual(relay(service)["throttled"], 2)
            self.assertEqual(relay(service)["state"], "ready")

    def test_of_two_recipients_one_waits(self):
        with Service(sink=["--fault", "rcpt:match=slow@*,count=1,reply=450 "
                           "4.7.1 Error: too many recipients from 192.0.2.1"],
                     retry='first = "1h";') as service:
            (job,) = submit(service, 1, to=["ann@example.net",
                                            "slow@example.net"])
            status = service.settled(job)
            self.assertEqual({r["address"]: (r["state"], r["attempts"])
                              for r in status["recipients"]},
                             {"ann@example.net": ("delivered", 1),
                              "slow@example.net": ("delivered", 1)})
            self.assertEqual(len(service.messages()), 2)

    def test_greylisting_is_a_deferral_like_any_other(self):
        with Service(sink=["--fault", "rcpt:count=1,reply=450 4.2.0 "
                           "Recipient address rejected: Greylisted"],
                     retry='first = "50ms";') as service:
            (job,) = submit(service, 1)
            status = service.settled(job)
            self.assertEqual((status["state"], status["attempts"]),
                             ("delivered", 2))
            self.assertEqual(relay(service)["throttled"], 0)
            self.assertFalse(relay(service)["slowed"])
            self.assertNotIn("rate", relay(service))

    def test_a_throttled_relay_does_not_slow_the_other(self):
        with Pair(sinks=[["--fault", f"final:reply={TOO_FAST}"],
                         []]) as service:
            left = submit(service, 20, route="left")
            wait_until(lambda: relay(service, "left")["throttled"] > 0,
                       "the left relay throttled")
            right = submit(service, 300, route="right")
            for job in right:
                self.assertEqual(service.settled(job)["state"], "delivered")
            self.assertTrue(relay(service, "left")["slowed"])
            other = relay(service, "right")
            self.assertEqual((other["delivered"], other["throttled"]),
                             (300, 0))
            self.assertFalse(other["slowed"])
            for job in left:
                status = service.status(job)
                self.assertIn(status["state"], ("queued", "active"))
                self.assertEqual(status["attempts"], 0, status)


class Rates(unittest.TestCase):
    def run_at(self, rate, burst, count):
        """When the sink accepted mails, from just before the first submit."""
        with Service(relay=f'rate = "{rate}/s"; burst = {burst}; '
                     'connections = 6;', config="workers = { count = 2; };"
                     ) as service:
            start = time.time()
            for job in submit(service, count):
                self.assertEqual(service.settled(job)["state"], "delivered")
            return [seconds(m["time"]) - start
                    for m in service.sink.messages()]

    def check_start(self, times, rate, burst):
        """Nobody had a token before it was there, whatever stalled since."""
        for n, at in enumerate(times, 1):
            self.assertLessEqual(n, rate * (at + GRANULE_S) + burst,
                                 (n, at))

    @staticmethod
    def windows_hold(times, rate, burst):
        return all(k - i + 1 <= rate * (times[k] - times[i] + JITTER_S) + burst
                   for i in range(len(times)) for k in range(i, len(times)))

    def check(self, rate, burst, count):
        tries = []
        for _ in range(3):
            times = self.run_at(rate, burst, count)
            self.assertEqual(len(times), count)
            self.check_start(times, rate, burst)
            tries.append(times)
            if self.windows_hold(times, rate, burst):
                return
        self.fail(f"too many in a window, three times: {tries}")

    def test_no_window_has_more_than_the_rate_over_two_workers(self):
        self.check(rate=20, burst=1, count=50)

    def test_a_burst_may_be_taken_at_once(self):
        self.check(rate=20, burst=10, count=40)

    def test_waiting_for_a_token_stops_nobody_else(self):
        with Pair(settings=['rate = "1/s"; burst = 2;', ""]) as service:
            start = time.monotonic()
            submit(service, 50, route="left")
            for job in submit(service, 300, route="right"):
                self.assertEqual(service.settled(job)["state"], "delivered")
            left = relay(service, "left")
            elapsed = time.monotonic() - start
            self.assertEqual(relay(service, "right")["delivered"], 300)
            self.assertLessEqual(left["delivered"], elapsed + 2)
            self.assertEqual(left["rate"], 1)
            self.assertFalse(left["slowed"])

    def test_a_job_in_parts_is_charged_for_each(self):
        with Service(relay='rate = "10/s"; burst = 1; '
                     'recipients_per_message = 2;') as service:
            start = time.time()
            for n in range(4):
                (job,) = submit(service, 1, to=[f"{k}@example.net"
                                                for k in range(10)])
                self.assertEqual(service.settled(job)["state"], "delivered")
                times = [seconds(m["time"]) - start
                         for m in service.sink.messages()]
                self.assertEqual(len(times), 5 * (n + 1))
                # 5 n tokens were taken before this job's first
                self.assertLessEqual(5 * n + 1,
                                     10 * (times[5 * n] + GRANULE_S) + 1)


if __name__ == "__main__":
    unittest.main()
