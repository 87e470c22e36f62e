"""From a socket to a relay: every door, every phase of the dialogue failed."""

import unittest

from harness import wait_until
from service import DURABLE, Service, mail


class Doors(unittest.TestCase):
    """A job through each door arrives, and its answer can be trusted."""

    @classmethod
    def setUpClass(cls):
        cls.service = Service()
        cls.addClassCleanup(cls.service.stop)

    def check_delivered(self, client, subject):
        answer = client.ask(mail(subject=subject))
        self.assertTrue(answer["ok"], answer)
        self.assertEqual(answer["durable"], DURABLE)
        status = self.service.settled(answer["id"])
        self.assertEqual(status["state"], "delivered")
        self.assertEqual(status["recipients"][0]["state"], "delivered")
        self.assertIn("250", status["recipients"][0]["reply"])
        self.assertEqual(status["recipients"][0]["relay"], "main")
        found = [m for m in self.service.messages()
                 if m["Subject"] == subject]
        self.assertEqual(len(found), 1)

    def test_tcp_newline_framing(self):
        with self.service.tcp() as client:
            self.check_delivered(client, "over tcp, lines")

    def test_tcp_length_prefixed_framing(self):
        with self.service.tcp(framing="length") as client:
            self.check_delivered(client, "over tcp, lengths")

    def test_unix_socket(self):
        with self.service.unix() as client:
            self.check_delivered(client, "over a unix socket")

    def test_udp(self):
        with self.service.udp() as client:
            self.check_delivered(client, "over udp")

    def test_pipelined_jobs_are_answered_in_order_and_all_arrive(self):
        with self.service.tcp() as client:
            jobs = [dict(mail(subject=f"pipelined {n}"), ref=n)
                    for n in range(300)]
            answers = client.ask_all(jobs)
        self.assertEqual([a["ref"] for a in answers], list(range(300)))
        for answer in answers:
            self.assertEqual(self.service.settled(answer["id"])["state"],
                             "delivered")
        subjects = [str(m["Subject"]) for m in self.service.messages()
                    if str(m["Subject"]).startswith("pipelined ")]
        self.assertEqual(sorted(subjects),
                         sorted(f"pipelined {n}" for n in range(300)))

    def test_everything_a_mail_can_hold_arrives(self):
        job = {"from": "Café Müller <shop@example.org>",
               "to": ["Zoë <zoe@example.net>", "plain@example.net"],
               "cc": "cc@example.net", "bcc": "hidden@example.net",
               "reply_to": "answers@example.org",
               "subject": "Grüße ☕ " + "lang " * 40,
               "text": "Erste Zeile\n.\n..\nGrüße\n",
               "html": "<p>Grüße</p>", "headers": {"X-Order": "17"},
               "attachments": [{"filename": "réçu.bin",
                                "content": "AAEC/w==",
                                "content_type": "application/x-thing"}]}
        with self.service.unix() as client:
            answer = client.ask(job)
        status = self.service.settled(answer["id"])
        self.assertEqual([r["address"] for r in status["recipients"]],
                         ["zoe@example.net", "plain@example.net",
                          "cc@example.net", "hidden@example.net"])
        self.assertEqual({r["state"] for r in status["recipients"]},
                         {"delivered"})
        (message,) = [m for m in self.service.messages()
                      if m["X-Order"] == "17"]
        self.assertEqual(str(message["From"]),
                         "Café Müller <shop@example.org>")
        self.assertEqual(str(message["Subject"]), job["subject"])
        self.assertIsNone(message["Bcc"])
        text = message.get_body(("plain",)).get_content()
        self.assertEqual(text.replace("\r\n", "\n"), job["text"])
        (attachment,) = message.iter_attachments()
        self.assertEqual(attachment.get_filename(), "réçu.bin")
        self.assertEqual(attachment.get_content(), b"\x00\x01\x02\xff")

    def test_quoted_local_parts_are_delivered_to(self):
        people = ['"a b"@example.net', '"<"@example.net',
                  r'"x\"y\\z>"@example.net', "ann@example.net"]
        with self.service.unix() as client:
            answer = client.ask(mail(**{"from": '"joe doe"@example.org',
                                        "to": people}))
        status = self.service.settled(answer["id"])
        self.assertEqual([(r["address"], r["state"])
                          for r in status["recipients"]],
                         [(address, "delivered") for address in people])

    def test_the_ledger_adds_up_and_stats_name_the_relay(self):
        with self.service.tcp() as client:
            stats = client.ask({"op": "stats"})
        ledger = stats["ledger"]
        self.assertEqual(ledger["accepted"],
                         sum(v for k, v in ledger.items() if k != "accepted"))
        self.assertEqual(stats["relays"][0]["name"], "main")
        self.assertEqual(stats["relays"][0]["state"], "ready")


class PerRecipient(unittest.TestCase):
    def test_a_refused_recipient_stops_nobody_else(self):
        with Service(sink=["--fault",
                           "rcpt:match=bad@*,reply=550 5.1.1 No such user"]
                     ) as service, service.tcp() as client:
            answer = client.ask(mail(to=["a@example.net", "b@example.net",
                                         "bad@example.net", "c@example.net",
                                         "d@example.net"]))
            status = service.settled(answer["id"])
            self.assertEqual(status["state"], "failed")
            states = {r["address"]: r["state"] for r in status["recipients"]}
            self.assertEqual(states, {"a@example.net": "delivered",
                                      "b@example.net": "delivered",
                                      "bad@example.net": "failed",
                                      "c@example.net": "delivered",
                                      "d@example.net": "delivered"})
            (bad,) = [r for r in status["recipients"]
                      if r["address"] == "bad@example.net"]
            self.assertIn("550", bad["reply"])
            self.assertIn("No such user", bad["reply"])
            self.assertEqual(len(service.messages()), 1)

    def test_a_deferred_recipient_is_tried_again_alone(self):
        with Service(sink=["--fault", "rcpt:match=slow@*,count=1,"
                           "reply=450 4.2.1 Mailbox busy"],
                     retry='first = "50ms";') as service, \
                service.tcp() as client:
            answer = client.ask(mail(to=["a@example.net", "slow@example.net"]))
            status = service.settled(answer["id"])
            self.assertEqual(status["state"], "delivered")
            attempts = {r["address"]: r["attempts"]
                        for r in status["recipients"]}
            self.assertEqual(attempts, {"a@example.net": 1,
                                        "slow@example.net": 2})
            summary = service.sink.summary()
            self.assertEqual(summary["messages"], 2)
            self.assertEqual(summary["duplicates"], 0)
            first, second = service.messages()
            self.assertEqual(first["Message-ID"], second["Message-ID"])

    def test_more_recipients_than_the_relay_takes_at_once(self):
        with Service(sink=["--max-recipients", "3"]) as service, \
                service.tcp() as client:
            answer = client.ask(mail(to=[f"r{n}@example.net"
                                         for n in range(8)]))
            status = service.settled(answer["id"])
            self.assertEqual(status["state"], "delivered")
            self.assertEqual({r["attempts"] for r in status["recipients"]},
                             {1})
            self.assertEqual(service.sink.summary()["duplicates"], 0)


# fault of the sink, what the status says after the first attempt settled:
# (job state, recipient state), and whether the mail arrived once it is over
ONCE = "count=1,"
PHASES = {
    "mail refused for good": ("mail:reply=550 5.7.1 Go away", "failed"),
    "mail refused for now": ("mail:" + ONCE + "reply=451 4.3.0 Later", None),
    "rcpt refused for good": ("rcpt:reply=550 5.1.1 Nobody", "failed"),
    "rcpt refused for now": ("rcpt:" + ONCE + "reply=450 4.2.0 Busy", None),
    "data refused for good": ("data:reply=554 5.5.1 No", "failed"),
    "data refused for now": ("data:" + ONCE + "reply=451 4.3.0 Later", None),
    "final refused for good": ("final:reply=554 5.6.0 Spam", "failed"),
    "final refused for now": ("final:" + ONCE + "reply=451 4.7.1 Grey", None),
    "dropped at mail": ("mail:" + ONCE + "drop", None),
    "dropped at rcpt": ("rcpt:" + ONCE + "drop", None),
    "dropped at data": ("data:" + ONCE + "drop", None),
    "dropped in the body": ("body:" + ONCE + "drop", None),
    "421 at mail": ("mail:" + ONCE + "reply=421 4.3.2 Closing", None),
    "421 at rcpt": ("rcpt:" + ONCE + "reply=421 4.3.2 Closing", None),
    "421 as final": ("final:" + ONCE + "reply=421 4.3.2 Closing", None),
    "421 greeting": ("connect:" + ONCE + "reply=421 4.3.2 Full", None),
    "554 greeting": ("connect:" + ONCE + "reply=554 5.3.2 No", None),
    "dropped at connect": ("connect:" + ONCE + "drop", None),
    "ehlo refused": ("ehlo:" + ONCE + "reply=421 4.3.2 No", None),
    "auth refused": ("auth:" + ONCE + "reply=535 5.7.8 Wrong", None),
    "auth refused for now": ("auth:" + ONCE + "reply=454 4.7.0 Later", None),
}


# What the sink does not offer, so that a mail is sent in another manner.
ONE_BY_ONE = ["--without", "PIPELINING,CHUNKING"]
PIPELINE = ["--without", "CHUNKING"]


class Phases(unittest.TestCase):
    """Each phase of the dialogue is failed by the sink, one by one."""

    def check(self, fault, final):
        with Service(sink=[*ONE_BY_ONE, "--fault", fault],
                     retry='first = "50ms";',
                     relay='backoff_first = "50ms";') as service, \
                service.tcp() as client:
            answer = client.ask(mail())
            status = service.settled(answer["id"])
            (recipient,) = status["recipients"]
            summary = service.sink.summary()
            if final == "failed":
                self.assertEqual(status["state"], "failed")
                self.assertEqual(recipient["state"], "failed")
                code = fault.split("reply=")[1][:3]
                self.assertIn(code, recipient["reply"])
                self.assertEqual(summary["messages"], 0)
            else:
                self.assertEqual(status["state"], "delivered")
                self.assertEqual(summary["messages"], 1)
                self.assertEqual(summary["duplicates"], 0)
            # The relay's own trouble costs the job no attempt.
            free = fault.startswith(("connect:", "ehlo:", "auth:"))
            if free or final == "failed":
                self.assertEqual(status["attempts"], 1)

    def test_after_the_final_dot_the_outcome_is_unknown_and_is_retried(self):
        with Service(sink=["--fault", "final:count=1,drop"],
                     retry='first = "50ms";') as service, \
                service.tcp() as client:
            answer = client.ask(mail())
            status = service.settled(answer["id"])
            self.assertEqual(status["state"], "delivered")
            self.assertEqual(status["attempts"], 2)
            self.assertIn("recipient.unknown", service.log())

    def test_after_the_final_dot_hold_waits_for_a_person(self):
        with Service(sink=["--fault", "final:count=1,drop"],
                     retry='first = "50ms";') as service, \
                service.tcp() as client:
            answer = client.ask(dict(mail(), on_unknown="hold"))
            status = service.settled(answer["id"])
            self.assertEqual(status["state"], "held")
            self.assertEqual(status["recipients"][0]["state"], "unknown")
            self.assertEqual(service.stats()["ledger"]["held"], 1)


def add_phase(name, fault, final):
    def test(self):
        self.check(fault, final)
    setattr(Phases, "test_" + name.replace(" ", "_"), test)


for phase_name, (phase_fault, phase_final) in PHASES.items():
    add_phase(phase_name, phase_fault, phase_final)


# More than the buffers of a connection hold: the relay has to read it.
LONG = ("x" * 70 + "\n") * 280_000

# Where it goes wrong for a mail to ann and bob; the reply at rcpt is bob's.
STAGES = {"mail": "mail:count=1,", "rcpt": "rcpt:match=bob@*,count=1,",
          "data": "data:count=1,", "body": "body:count=1,",
          "final": "final:count=1,"}
ENDS = {"drop": "closed the connection", "reset": "closed the connection",
        "stall": "timed out: nothing for 300 ms",
        "delay=1h": "timed out: nothing for 300 ms"}

# fault, the outcomes of ann and bob after the first attempt
REFUSALS = {
    "refused at mail": ("mail:reply=550 5.7.1 Go away", "failed", "failed"),
    "refused at rcpt": ("rcpt:match=bob@*,reply=550 5.1.1 Nobody",
                        "delivered", "failed"),
    "refused at data": ("data:reply=554 5.5.1 No", "failed", "failed"),
    "refused in the body": ("body:drop,reply=554 5.6.0 Enough", "failed",
                            "failed"),
    "refused as final": ("final:reply=554 5.6.0 Spam", "failed", "failed"),
    "put off at mail": (STAGES["mail"] + "reply=451 4.3.0 Later", "deferred",
                        "deferred"),
    "put off at rcpt": (STAGES["rcpt"] + "reply=450 4.2.0 Busy", "delivered",
                        "deferred"),
    "put off at data": (STAGES["data"] + "reply=451 4.3.0 Later", "deferred",
                        "deferred"),
    "put off as final": (STAGES["final"] + "reply=451 4.7.1 Grey", "deferred",
                         "deferred"),
    "session ended at mail": (STAGES["mail"] + "reply=421 4.3.2 Closing",
                              "deferred", "deferred"),
    "session ended at rcpt": (STAGES["rcpt"] + "reply=421 4.3.2 Closing",
                              "deferred", "deferred"),
}


class TwoRecipients(unittest.TestCase):
    """Each phase fails for a mail to two: the outcome of each is named.

    Pipelined: MAIL, RCPT and DATA in one flight, then the body.
    """

    people = ("ann@example.net", "bob@example.net")
    offer = PIPELINE

    def send(self, fault, settings="", **fields):
        service = Service(sink=[*self.offer, "--fault", fault],
                          retry='first = "50ms";',
                          relay='connections = 1; backoff_first = "50ms"; '
                                + settings)
        self.addCleanup(service.stop)
        with service.tcp() as client:
            job = client.ask(mail(to=list(self.people), **fields))["id"]
        return service, service.settled(job)

    def first_outcomes(self, service, status):
        """Outcome and log line of the first attempt, for each recipient."""
        found = []
        service.wait_log(f"event=job.{status['state']} job={status['id']}")
        for person in self.people:
            lines = [line for line in service.log().splitlines()
                     if f"job={status['id']}" in line
                     and f"recipient={person}" in line]
            self.assertLessEqual(len(lines), 1, lines)
            found.append((lines[0].split("event=recipient.")[1].split()[0],
                          lines[0]) if lines else ("delivered", ""))
        return found

    def check_lost(self, stage, how, want, messages, **fields):
        """The session ends: not one word of an answer, or half of one."""
        phase = "final" if stage == "body" and want == "unknown" else stage
        service, status = self.send(STAGES[stage] + how,
                                    f'{phase}_timeout = "300ms";', **fields)
        for outcome, line in self.first_outcomes(service, status):
            self.assertEqual(outcome, want, line)
            self.assertIn(ENDS[how.split(",")[-1]], line)
        self.assertEqual(status["state"], "delivered")
        self.assertEqual([(r["address"], r["state"], r["attempts"])
                          for r in status["recipients"]],
                         [(p, "delivered", 2) for p in self.people])
        summary = service.sink.summary()
        self.assertEqual(summary["messages"], messages)
        self.assertEqual(summary["duplicates"], 2 * (messages - 1))
        # Nothing of it is the relay's failure.
        self.assertNotIn("relay.backing_off", service.log())

    def check_refused(self, fault, ann, bob):
        service, status = self.send(fault)
        code = fault.split("reply=")[1][:3]
        for (outcome, line), want in zip(self.first_outcomes(service, status),
                                         (ann, bob)):
            self.assertEqual(outcome, want, line)
            if want != "delivered":
                self.assertIn(code, line)
        ends = ["failed" if o == "failed" else "delivered" for o in (ann, bob)]
        self.assertEqual([r["state"] for r in status["recipients"]], ends)
        self.assertEqual([r["attempts"] for r in status["recipients"]],
                         [2 if o == "deferred" else 1 for o in (ann, bob)])
        self.assertEqual(status["state"],
                         "failed" if "failed" in ends else "delivered")
        self.assertEqual(service.sink.summary()["duplicates"], 0)


class TwoInChunks(TwoRecipients):
    """The same by BDAT: the message goes out with its MAIL and RCPT.

    When the session is lost it has left, wherever the relay was with it.
    """

    offer = []


def add_test(case, name, check, *arguments, **fields):
    def test(self):
        getattr(self, check)(*arguments, **fields)
    setattr(case, "test_" + name.replace(" ", "_"), test)


def add_two(name, *arguments, **fields):
    add_test(TwoRecipients, name, *arguments, **fields)


for stage_name in ("mail", "rcpt", "data", "final"):
    for end in ("drop", "reset", "stall"):
        # The sink takes a message before it does not answer it.
        lost = ("unknown", 2) if stage_name == "final" else ("deferred", 1)
        add_two(f"{end} at {stage_name}", "check_lost", stage_name, end, *lost)
        add_two(f"half a reply then {end} at {stage_name}", "check_lost",
                stage_name, "half," + end, *lost)

for end in ("drop", "reset"):
    add_two(f"{end} in the body", "check_lost", "body", "after=1000," + end,
            "deferred", 1, text=LONG)
add_two("body is read no further", "check_lost", "body",
        "after=1000,delay=1h", "deferred", 1, text=LONG)
add_two("body is read to its end and nothing said", "check_lost", "body",
        "stall", "unknown", 1)

for phase_name, refusal in REFUSALS.items():
    add_two(phase_name, "check_refused", *refusal)

# What differs by BDAT; there is no DATA. (Tests of these names are replaced.)
for end in ("drop", "reset", "stall"):
    for how in (end, "half," + end):
        prefix = "half a reply then " if how != end else ""
        for stage_name in ("mail", "rcpt"):
            add_test(TwoInChunks, f"{prefix}{end} at {stage_name}",
                     "check_lost", stage_name, how, "unknown", 1)
        setattr(TwoInChunks,
                "test_" + f"{prefix}{end} at data".replace(" ", "_"), None)
for phase_name in REFUSALS:
    if REFUSALS[phase_name][0].startswith("data:"):
        setattr(TwoInChunks, "test_" + phase_name.replace(" ", "_"), None)


class Relays(unittest.TestCase):
    def test_starttls_delivers(self):
        with Service(kind="starttls") as service, service.tcp() as client:
            answer = client.ask(mail())
            self.assertEqual(service.settled(answer["id"])["state"],
                             "delivered")
            self.assertTrue(service.sink.messages()[0]["tls"])

    def test_starttls_is_required(self):
        with Service(kind="starttls", sink=["--without", "STARTTLS"]) as service, \
                service.tcp() as client:
            answer = client.ask(mail())
            service.wait_log("relay.backing_off")
            self.assertIn("STARTTLS", service.log())
            self.assertEqual(service.status(answer["id"])["attempts"], 0)
            self.assertEqual(service.sink.summary()["messages"], 0)

    def check_refused_certificate(self, kind, word):
        with Service(sink=["--bad-cert", kind]) as service, \
                service.tcp() as client:
            answer = client.ask(mail())
            service.wait_log("relay.backing_off")
            status = service.status(answer["id"])
            self.assertEqual(status["attempts"], 0)
            self.assertIn(status["state"], ("queued", "active"))
            relay = service.stats()["relays"][0]
            self.assertIn(word, relay["last_error"])
            self.assertEqual(service.sink.summary()["messages"], 0)

    def test_an_expired_certificate_is_refused(self):
        self.check_refused_certificate("expired", "expired")

    def test_a_certificate_for_another_host_is_refused(self):
        self.check_refused_certificate("wrong-host", "host")

    def test_an_untrusted_certificate_is_refused(self):
        self.check_refused_certificate("untrusted", "certificate")

    def test_a_relay_without_auth_is_refused_when_credentials_are_set(self):
        with Service(sink=["--without", "AUTH"], sink_auth=False) as service, \
                service.tcp() as client:
            client.ask(mail())
            service.wait_log("relay.backing_off")
            self.assertIn("AUTH", service.stats()["relays"][0]["last_error"])
            self.assertEqual(service.sink.summary()["messages"], 0)

    def test_a_session_is_reused_for_many_jobs(self):
        with Service(relay="connections = 1;") as service, \
                service.tcp() as client:
            answers = client.ask_all([mail(subject=str(n))
                                      for n in range(50)])
            for answer in answers:
                service.settled(answer["id"])
            summary = service.sink.summary()
            self.assertEqual(summary["messages"], 50)
            self.assertEqual(summary["connections"], 1)

    def test_an_idle_session_closed_by_the_relay_loses_nothing(self):
        with Service(sink=["--idle", "100"],
                     relay='connections = 1; idle_timeout = "1h";'
                     ) as service, service.tcp() as client:
            for n in range(3):
                answer = client.ask(mail(subject=str(n)))
                status = service.settled(answer["id"])
                self.assertEqual(status["state"], "delivered")
                self.assertEqual(status["attempts"], 1)
                wait_until(lambda: service.stats()["relays"][0]
                                 ["sessions"] == 0, "the session to close")
            self.assertEqual(service.sink.summary()["duplicates"], 0)

    def test_the_second_relay_takes_over_at_once(self):
        with Service(first_relay_dead=True) as service, \
                service.tcp() as client:
            answer = client.ask(mail())
            status = service.settled(answer["id"])
            self.assertEqual(status["state"], "delivered")
            self.assertEqual(status["attempts"], 1)
            self.assertEqual(status["recipients"][0]["relay"], "main")
            states = {r["name"]: r["state"]
                      for r in service.stats()["relays"]}
            self.assertEqual(states, {"dead": "backing_off", "main": "ready"})

    def test_a_silent_relay_does_not_stop_another_routes_jobs(self):
        with Service(silent_relay=True,
                     config='shutdown = { drain = "1s"; };') as service, \
                service.tcp() as client:
            stuck = client.ask_all([dict(mail(), route="silent")
                                    for _ in range(200)])
            fine = client.ask_all([mail() for _ in range(50)])
            for answer in fine:
                self.assertEqual(service.settled(answer["id"])["state"],
                                 "delivered")
            self.assertIn(service.status(stuck[0]["id"])["state"],
                          ("queued", "active", "deferred"))


if __name__ == "__main__":
    unittest.main()
