"""Each fault of postrider-sink, seen as its clients see it."""
import socket
import ssl
import threading
import time
import unittest

from harness import Sink, wait_until
from smtp_client import Client, Closed


def sink_with(*faults, options=("--smtp", "0")):
    words = list(options)
    for fault in faults:
        words += ["--fault", fault]
    return Sink(*words)


def walk(client, until):
    """Goes on to the stage `until` and returns the reply it has there."""
    client.send("EHLO client.test\r\n")
    steps = [("ehlo", None), ("mail", "MAIL FROM:<a@x.test>\r\n"),
             ("rcpt", "RCPT TO:<b@y.test>\r\n"), ("data", "DATA\r\n"),
             ("final", "Message-ID: <1@x>\r\n\r\nhi\r\n.\r\n"),
             ("rset", "RSET\r\n"), ("noop", "NOOP\r\n"), ("quit", "QUIT\r\n")]
    for stage, text in steps:
        if text is not None:
            client.send(text)
        reply = client.reply()
        if stage == until:
            return reply
        assert reply[0] in "23", (stage, reply)
    raise AssertionError(until)


STAGES = ("ehlo", "mail", "rcpt", "data", "final", "rset", "noop", "quit")


class Replies(unittest.TestCase):
    def test_any_reply_at_any_stage(self):
        for stage in STAGES:
            with self.subTest(stage), \
                    sink_with(f"{stage}:reply=451 4.3.2 not now, sir") as sink:
                with Client(sink.address("smtp")) as client:
                    self.assertEqual(walk(client, stage),
                                     "451 4.3.2 not now, sir")
                    self.assertEqual(client.command("NOOP")[:3],
                                     "451" if stage == "noop" else "250")
                fault = sink.log("fault")[0]
                self.assertEqual(fault["stage"], stage)
                self.assertEqual(fault["rule"],
                                 f"{stage}:reply=451 4.3.2 not now, sir")
                self.assertEqual(sink.summary()["fired"]["1"],
                                 2 if stage == "noop" else 1)
                self.assertEqual(len(sink.messages()),
                                 1 if stage in ("rset", "noop", "quit") else 0)

    def test_greeting_can_be_a_refusal(self):
        with sink_with("connect:reply=554 5.7.1 go away") as sink, \
                Client(sink.address("smtp")) as client:
            self.assertEqual(client.greeting, "554 5.7.1 go away")
            self.assertEqual(client.rest(), b"")

    def test_recipients_are_refused_by_pattern(self):
        with sink_with("rcpt:match=*@bad.test,reply=550 5.1.1 no such user",
                       "rcpt:match=slow@*,reply=450 4.2.1 busy") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            self.assertEqual(
                client.mail(recipients=("a@good.test", "b@BAD.test",
                                        "slow@good.test", "c@good.test")),
                ["250", "250", "550", "450", "250"])
            self.assertEqual(client.data("hi\r\n")[:3], "250")
            self.assertEqual(sink.messages()[0]["to"],
                             ["a@good.test", "c@good.test"])
            self.assertEqual([f["subject"] for f in sink.log("fault")],
                             ["b@BAD.test", "slow@good.test"])
            self.assertEqual(sink.summary()["recipients_refused"], 2)

    def test_count_and_skip_let_it_recover(self):
        with sink_with("mail:skip=1,count=2,reply=451 4.3.2 later") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            codes = []
            for _ in range(5):
                codes += client.commands("MAIL FROM:<a@x>")
                client.command("RSET")
            self.assertEqual(codes, ["250", "451", "451", "250", "250"])

    def test_rate_is_the_same_for_the_same_seed(self):
        def pattern(seed):
            with sink_with("rcpt:rate=0.5,reply=450 4.0.0 no",
                           options=("--smtp", "0", "--seed", seed)) as sink, \
                    Client(sink.address("smtp")) as client:
                client.ehlo()
                return client.mail(recipients=["a@x"] * 60)
        first = pattern("7")
        self.assertEqual(first, pattern("7"))
        self.assertNotEqual(first, pattern("8"))
        self.assertIn(first.count("450"), range(15, 46))

    def test_replies_can_have_lines(self):
        with sink_with(r"mail:reply=550 one\ntwo\n") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            self.assertEqual(client.command("MAIL FROM:<a@x>"),
                             "550-one\n550-two\n550")

    def test_421_closes(self):
        with sink_with("mail:reply=421 4.3.2 shutting down") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            client.send("MAIL FROM:<a@x>\r\nNOOP\r\n")
            self.assertEqual(client.rest(), b"421 4.3.2 shutting down\r\n")

    def test_auth_and_starttls_can_fail(self):
        with sink_with("auth:match=bad*,reply=454 4.7.0 try later",
                       "starttls:count=1,reply=454 4.7.0 no TLS now",
                       options=("--starttls", "0")) as sink, \
                Client(sink.address("starttls")) as client:
            client.ehlo()
            self.assertEqual(client.command("STARTTLS")[:3], "454")
            # NUL bad NUL x, then NUL good NUL x
            self.assertEqual(client.command("AUTH PLAIN AGJhZAB4")[:3], "454")
            self.assertEqual(client.command("AUTH PLAIN AGdvb2QAeA==")[:3],
                             "235")
            self.assertEqual(client.command("STARTTLS")[:3], "220")
            client.start_tls(sink.tls())
            self.assertEqual(client.ehlo()["AUTH"], ["PLAIN", "LOGIN"])

    def test_chunks_can_be_refused(self):
        with sink_with("bdat:count=1,reply=452 4.3.1 full",
                       "final:count=1,reply=554 5.6.0 odd") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            client.mail()
            client.send("BDAT 2\r\nabBDAT 2 LAST\r\ncdRSET\r\n")
            self.assertEqual([client.reply()[:3] for _ in range(3)],
                             ["452", "503", "250"])
            for code in ("554", "250"):
                client.mail()
                client.send("BDAT 2\r\nabBDAT 2 LAST\r\ncd")
                self.assertEqual([client.reply()[:3] for _ in range(2)],
                                 ["250", code])
            self.assertEqual(len(sink.messages()), 1)

    def test_final_reply_by_recipient_and_sender(self):
        with sink_with("final:match=*@y.test,from=boss@*,reply=550 5.7.1 no") \
                as sink, Client(sink.address("smtp")) as client:
            client.ehlo()
            self.assertEqual(client.deliver()[:3], "250")
            self.assertEqual(client.deliver(sender="boss@x")[:3], "550")
            self.assertEqual(
                client.deliver(sender="boss@x", recipients=("c@z",))[:3],
                "250")


class Ends(unittest.TestCase):
    def test_drop_at_any_stage(self):
        for stage in STAGES:
            with self.subTest(stage), \
                    sink_with(f"{stage}:count=1,drop") as sink:
                with Client(sink.address("smtp")) as client:
                    with self.assertRaises(Closed) as seen:
                        walk(client, stage)
                    self.assertEqual(str(seen.exception), "b''")
                # Taken, although the reply is lost: a second try is twice.
                taken = 1 if stage in STAGES[STAGES.index("final"):] else 0
                self.assertEqual(len(sink.messages()), taken)
                with Client(sink.address("smtp")) as client:
                    self.assertEqual(walk(client, "quit")[:3], "221")
                self.assertEqual(sink.summary()["duplicates"], taken)

    def test_drop_behind_the_final_dot_can_discard(self):
        with sink_with("final:count=1,discard,drop") as sink:
            with Client(sink.address("smtp")) as client:
                self.assertRaises(Closed, walk, client, "final")
            with Client(sink.address("smtp")) as client:
                self.assertEqual(walk(client, "final")[:3], "250")
            summary = sink.finish()
            self.assertEqual((summary["messages"], summary["duplicates"]),
                             (1, 0))

    def test_drop_before_anything_is_said(self):
        for kind, stage in (("smtp", "accept"), ("smtp", "connect"),
                            ("smtps", "accept"), ("smtps", "tls")):
            with self.subTest(kind + stage), \
                    sink_with(f"{stage}:count=1,drop",
                              options=(f"--{kind}", "0")) as sink:
                with Client(sink.address(kind), greeting=False) as client:
                    self.assertEqual(client.rest(), b"")
                tls = sink.tls() if kind == "smtps" else None
                Client(sink.address(kind), tls=tls).close()

    def test_drop_at_the_greeting_over_tls_and_at_starttls(self):
        with sink_with("connect:count=1,drop",
                       options=("--smtps", "0")) as sink:
            with self.assertRaises((Closed, ssl.SSLError)):
                Client(sink.address("smtps"), tls=sink.tls())
        with sink_with("tls:count=1,drop",
                       options=("--starttls", "0")) as sink, \
                Client(sink.address("starttls")) as client:
            client.ehlo()
            self.assertEqual(client.command("STARTTLS")[:3], "220")
            self.assertEqual(client.rest(), b"")

    def test_reset_is_a_reset(self):
        with sink_with("mail:reset") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            client.send("MAIL FROM:<a@x>\r\n")
            with self.assertRaises(ConnectionResetError):
                client.socket.recv(100)

    def test_reply_and_drop(self):
        with sink_with("rcpt:drop,reply=450 4.2.0 and out") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            client.send("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n")
            self.assertEqual(client.rest(),
                             b"250 2.1.0 Ok\r\n450 4.2.0 and out\r\n")

    def test_drop_in_the_middle_of_the_content(self):
        for start, whole in (("DATA\r\n", False), ("BDAT 500000 LAST\r\n",
                                                   True)):
            with self.subTest(start), \
                    sink_with("body:after=300000,drop") as sink, \
                    Client(sink.address("smtp")) as client:
                client.ehlo()
                client.mail()
                client.send(start)
                if not whole:
                    client.reply()
                try:
                    client.send(b"x" * 500000)
                    self.assertEqual(client.rest(), b"")
                except (Closed, ConnectionError):
                    pass
                self.assertEqual(sink.messages(), [])
                self.assertEqual(sink.log("fault")[0]["to"], ["b@y.test"])
                self.assertEqual(sink.summary()["messages_cut"], 1)

    def test_drop_after_so_many_bytes(self):
        with sink_with("input:after=29,drop") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            self.assertEqual(client.command("NOOP")[:3], "250")
            client.send("NOOP\r\n")
            with self.assertRaises(Closed):
                client.reply()

    def silent(self, client, seconds=0.3):
        client.socket.settimeout(seconds)
        self.assertRaises(TimeoutError, client.socket.recv, 1)

    def test_stall_says_nothing_more(self):
        for stage in ("ehlo", "rcpt", "final", "body"):
            with self.subTest(stage), sink_with(f"{stage}:stall") as sink, \
                    Client(sink.address("smtp")) as client:
                client.socket.settimeout(0.3)
                at = "final" if stage == "body" else stage
                self.assertRaises(TimeoutError, walk, client, at)
                client.send("NOOP\r\n")
                self.silent(client)
                self.assertEqual(sink.summary()["connections_open"], 1)
                client.close()
                wait_until(lambda: sink.summary()["connections_open"] == 0,
                           "a stalled connection ends with its client")

    def test_stall_from_the_start(self):
        for kind, stage in (("smtp", "accept"), ("smtp", "connect"),
                            ("smtps", "accept"), ("smtps", "tls")):
            with self.subTest(kind + stage), \
                    sink_with(f"{stage}:stall",
                              options=(f"--{kind}", "0")) as sink, \
                    Client(sink.address(kind), greeting=False) as client:
                self.silent(client)

    def test_half_a_reply(self):
        with sink_with("mail:half=5,stall", "rset:half,drop") as sink:
            with Client(sink.address("smtp")) as client:
                client.ehlo()
                client.send("MAIL FROM:<a@x>\r\n")
                self.assertEqual(client.socket.recv(100), b"250 2")
                self.silent(client)
            with Client(sink.address("smtp")) as client:
                client.ehlo()
                client.send("RSET\r\n")
                self.assertEqual(client.rest(), b"250 2.0")

    def test_half_of_the_final_reply_takes_the_message(self):
        with sink_with("final:half,drop") as sink, \
                Client(sink.address("smtp")) as client:
            with self.assertRaises(Closed) as seen:
                walk(client, "final")
            self.assertIn("250 2.0.0", str(seen.exception))
            self.assertEqual(len(sink.messages()), 1)

    def test_certificates_recover(self):
        with sink_with("tls:count=1,cert=expired",
                       options=("--smtps", "0")) as sink:
            with self.assertRaises(ssl.SSLCertVerificationError):
                Client(sink.address("smtps"), tls=sink.tls())
            with Client(sink.address("smtps"), tls=sink.tls()) as client:
                self.assertEqual(client.command("NOOP")[:3], "250")


class Time(unittest.TestCase):
    def timed(self, call, *args):
        start = time.monotonic()
        result = call(*args)
        return result, time.monotonic() - start

    def test_slow_replies_hold_up_their_connection_only(self):
        with sink_with("mail:match=slow@*,delay=1s") as sink, \
                Client(sink.address("smtp")) as slow, \
                Client(sink.address("smtp")) as other:
            slow.ehlo()
            other.ehlo()
            start = time.monotonic()
            slow.send("RSET\r\nMAIL FROM:<slow@x>\r\nRCPT TO:<b@y>\r\n")
            self.assertEqual(slow.reply()[:3], "250")
            self.assertLess(time.monotonic() - start, 0.9)
            self.assertEqual(other.command("MAIL FROM:<a@x>")[:3], "250")
            self.assertLess(time.monotonic() - start, 0.9)
            self.assertEqual(slow.reply()[:3], "250")
            self.assertGreaterEqual(time.monotonic() - start, 1)
            self.assertEqual(slow.reply()[:3], "250")

    def test_delay_of_a_refusal_and_of_starttls(self):
        with sink_with("starttls:delay=200",
                       "rcpt:delay=200,reply=550 5.1.1 no",
                       options=("--starttls", "0")) as sink, \
                Client(sink.address("starttls")) as client:
            client.ehlo()
            reply, seconds = self.timed(client.command, "STARTTLS")
            self.assertEqual(reply[:3], "220")
            self.assertGreaterEqual(seconds, 0.2)
            client.start_tls(sink.tls())
            client.ehlo()
            client.command("MAIL FROM:<a@x>")
            reply, seconds = self.timed(client.command, "RCPT TO:<b@y>")
            self.assertEqual(reply[:3], "550")
            self.assertGreaterEqual(seconds, 0.2)

    def test_delayed_final_reply_and_a_client_that_goes(self):
        with sink_with("final:delay=200") as sink:
            with Client(sink.address("smtp")) as client:
                client.ehlo()
                client.mail()
                client.command("DATA")
                client.send("hi\r\n.\r\n")
                client.socket.shutdown(socket.SHUT_WR)
                self.assertEqual(client.reply()[:3], "250")
                self.assertEqual(client.rest(), b"")
            self.assertEqual(sink.summary()["connections_open"], 0)

    def test_pause_in_the_content(self):
        with sink_with("body:after=5,delay=200") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            reply, seconds = self.timed(client.deliver)
            self.assertEqual(reply[:3], "250")
            self.assertGreaterEqual(seconds, 0.2)
            self.assertEqual(sink.messages()[0]["size"], 18)

    def test_latency_is_paid_each_way_and_for_the_handshake(self):
        # The best of a few: the machine may be busy, but never too fast.
        with Sink("--smtp", "0", "--latency", "50") as sink:
            starts, trips = [], []
            for _ in range(5):
                client, seconds = self.timed(Client, sink.address("smtp"))
                starts.append(seconds)
                with client:
                    trips.append(self.timed(client.command, "NOOP")[1])
            # TCP's handshake and the greeting: two round trips.
            self.assertGreaterEqual(min(starts), 0.2)
            self.assertLess(min(starts), 0.29)
            self.assertGreaterEqual(min(trips), 0.1)
            self.assertLess(min(trips), 0.19)

    def test_latency_serialises_nothing(self):
        with Sink("--smtps", "0", "--latency", "50") as sink, \
                Client(sink.address("smtps"), tls=sink.tls()) as client:
            client.ehlo()
            mail = ("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"
                    "BDAT 2000 LAST\r\n" + "x" * 2000)
            start = time.monotonic()
            for _ in range(100):
                client.send(mail)
            for _ in range(300):
                self.assertEqual(client.reply()[:3], "250")
            seconds = time.monotonic() - start
            # One by one it would take 10 s.
            self.assertGreaterEqual(seconds, 0.1)
            self.assertLess(seconds, 2)

    def test_latency_of_many_connections_is_paid_at_once(self):
        with Sink("--smtp", "0", "--latency", "50") as sink:
            clients = []
            def connect():
                clients.append(Client(sink.address("smtp")))
            threads = [threading.Thread(target=connect) for _ in range(20)]
            start = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            self.assertEqual(len(clients), 20)
            for client in clients:
                client.send("NOOP\r\n")
            for client in clients:
                self.assertEqual(client.reply()[:3], "250")
                client.close()
            # One by one it would take 6 s.
            self.assertLess(time.monotonic() - start, 3)

    def test_latency_delays_the_end_of_the_stream(self):
        with Sink("--smtp", "0", "--latency", "100") as sink, \
                Client(sink.address("smtp")) as client:
            start = time.monotonic()
            client.send("QUIT\r\n")
            self.assertTrue(client.rest().startswith(b"221"))
            self.assertGreaterEqual(time.monotonic() - start, 0.2)

    def test_large_content_over_a_long_line(self):
        with Sink("--smtps", "0", "--latency", "20") as sink, \
                Client(sink.address("smtps"), tls=sink.tls()) as client:
            client.ehlo()
            content = ("0123456789" * 7 + "\r\n") * 200000
            self.assertEqual(client.deliver(content)[:3], "250")
            self.assertEqual(sink.messages()[0]["size"], len(content))


if __name__ == "__main__":
    unittest.main()
