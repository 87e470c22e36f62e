"""postrider-sink through sockets: the dialogue, its extensions, TLS, AUTH,
what is kept, and its limits. Faults are in test_sink_faults.py."""
import base64
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import unittest
import warnings

from harness import Sink, binary, wait_until
from smtp_client import Client, Closed

EXTENSIONS = {"SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING", "CHUNKING",
              "ENHANCEDSTATUSCODES", "STARTTLS", "AUTH"}


class Start(unittest.TestCase):
    def test_ready_line_names_the_real_ports_in_order(self):
        with Sink("--smtps", "0", "--smtp", "127.0.0.1:0", "--smtp", "0",
                  "--starttls", "0") as sink:
            names = [name for name, _ in sink.addresses]
            self.assertEqual(names, ["smtps", "smtp", "smtp", "starttls"])
            for index in (0, 1):
                with Client(sink.address("smtp", index)) as client:
                    self.assertRegex(client.greeting, "^220 localhost ")

    def run_sink(self, *options):
        return subprocess.run([binary("postrider-sink"), *options],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=10, check=False)

    def test_misuse_ends_with_64_and_a_reason(self):
        for options in ((), ("--smtp",), ("--smtp", "x"), ("--what",),
                        ("--smtp", "0", "--fault", "rcpt:what"),
                        ("--smtp", "0", "--require-tls"),
                        ("--smtps", "0", "--cert", "x")):
            done = self.run_sink(*options)
            self.assertEqual(done.returncode, 64, options)
            self.assertRegex(done.stderr, "^postrider-sink: .+")
            self.assertEqual(done.stdout, "")

    def test_what_cannot_be_had_ends_with_69(self):
        with Sink("--smtp", "0") as sink:
            port = str(sink.address("smtp")[1])
            for options in (("--smtp", port),
                            ("--smtp", "0", "--dir", "/dev/null/x"),
                            ("--smtp", "0", "--log", "/dev/null/x"),
                            ("--smtps", "0", "--cert", "/dev/null", "--key",
                             "/dev/null")):
                done = self.run_sink(*options)
                self.assertEqual(done.returncode, 69, options)
                self.assertRegex(done.stderr, "^postrider-sink: .+")

    def test_the_ca_of_a_running_sink_is_left_alone(self):
        with Sink("--smtps", "0") as sink:
            with open(sink.ca, encoding="ascii") as file:
                before = file.read()
            port = str(sink.address("smtps")[1])
            for options in (("--smtps", port),
                            ("--smtps", "0", "--dir", "/dev/null/x")):
                done = self.run_sink(*options, "--write-ca", sink.ca)
                self.assertIn(done.returncode, (64, 69), options)
                with open(sink.ca, encoding="ascii") as file:
                    self.assertEqual(file.read(), before)

    def test_help_tells_every_option(self):
        done = self.run_sink("--help")
        self.assertEqual(done.returncode, 0)
        for word in ("--smtp", "--without", "--fault", "--latency",
                     "--bad-cert", "discard", "X-Envelope-From"):
            self.assertIn(word, done.stdout)


class Dialogue(unittest.TestCase):
    def test_smtplib_delivers_over_each_listener(self):
        with Sink("--smtp", "0", "--starttls", "0", "--smtps", "0") as sink:
            for kind in ("smtp", "starttls", "smtps"):
                port = sink.address(kind)[1]
                if kind == "smtps":
                    client = smtplib.SMTP_SSL("localhost", port, timeout=10,
                                              context=sink.tls())
                else:
                    client = smtplib.SMTP("localhost", port, timeout=10)
                with client:
                    if kind == "starttls":
                        client.starttls(context=sink.tls())
                    client.login("me", "secret")
                    client.sendmail("a@x.test", ["b@y.test", "c@z.test"],
                                    "Message-ID: <%s@x>\r\n\r\nhi" % kind)
            messages = sink.messages()
            self.assertEqual([m["listener"] for m in messages],
                             ["smtp", "starttls", "smtps"])
            self.assertEqual([m["tls"] for m in messages],
                             [None, "TLSv1.3", "TLSv1.3"])
            for number, message in enumerate(messages, 1):
                self.assertEqual(message["auth"], "me")
                self.assertEqual(message["number"], number)
                self.assertEqual(message["connection"], number)
                self.assertEqual(message["from"], "a@x.test")
                self.assertEqual(message["to"], ["b@y.test", "c@z.test"])
                self.assertEqual(message["message_id"],
                                 "<%s@x>" % message["listener"])
                self.assertEqual(message["command"], "DATA")
                self.assertRegex(message["time"], r"^\d{4}-.*Z$")

    def test_pipelined_and_chained_mails_are_answered_in_order(self):
        with Sink("--smtp", "0") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            mail = "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n"
            client.send(mail)
            self.assertEqual([client.reply()[:3] for _ in range(3)],
                             ["250", "250", "354"])
            for _ in range(3):
                client.send("hi\r\n.\r\n" + mail)
                self.assertEqual([client.reply()[:3] for _ in range(4)],
                                 ["250", "250", "250", "354"])
            client.send(".\r\nQUIT\r\n")
            self.assertEqual([client.reply()[:3] for _ in range(2)],
                             ["250", "221"])
            self.assertEqual(client.rest(), b"")
            summary = sink.summary()
            self.assertEqual(summary["messages"], 4)
            self.assertEqual(summary["pipelining_errors"], 0)

    def test_many_chunked_mails_in_flight(self):
        with Sink("--smtps", "0") as sink, \
                Client(sink.address("smtps"), tls=sink.tls()) as client:
            client.ehlo()
            client.send("".join(
                f"RSET\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"
                f"BDAT 5\r\nhello\r\nBDAT 2 LAST\r\n{n % 10}\n".replace(
                    "hello\r\n", "hello") for n in range(200)))
            for _ in range(200):
                self.assertEqual([client.reply()[:3] for _ in range(5)],
                                 ["250"] * 5)
            self.assertEqual(sink.summary()["messages"], 200)

    def test_bytes_may_come_one_by_one(self):
        with Sink("--smtp", "0") as sink, \
                Client(sink.address("smtp")) as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            text = ("EHLO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n"
                    "..a\r\n.\r\nQUIT\r\n")
            for byte in text.encode():
                client.send(bytes([byte]))
            self.assertTrue(client.rest().endswith(b"221 2.0.0 Bye\r\n"))
            self.assertEqual(sink.messages()[0]["size"], 4)

    def test_half_closed_client_gets_its_replies(self):
        with Sink("--smtp", "0") as sink, \
                Client(sink.address("smtp")) as client:
            client.send("EHLO a\r\nNOOP\r\n")
            client.socket.shutdown(socket.SHUT_WR)
            self.assertTrue(client.rest().endswith(b"250 2.0.0 Ok\r\n"))


class Extensions(unittest.TestCase):
    def test_all_are_offered(self):
        with Sink("--starttls", "0") as sink, \
                Client(sink.address("starttls")) as client:
            offered = client.ehlo()
            self.assertEqual(set(offered), EXTENSIONS | {"HELP"})
            self.assertEqual(offered["AUTH"], ["PLAIN", "LOGIN"])
            self.assertEqual(offered["SIZE"], [str(64 << 20)])

    def test_plain_listener_has_no_starttls(self):
        with Sink("--smtp", "0") as sink, \
                Client(sink.address("smtp")) as client:
            self.assertNotIn("STARTTLS", client.ehlo())
            self.assertEqual(client.command("STARTTLS")[:3], "502")

    def test_each_can_be_switched_off(self):
        refused = {
            "SIZE": ("MAIL FROM:<a@x> SIZE=5", "555"),
            "8BITMIME": ("MAIL FROM:<a@x> BODY=8BITMIME", "555"),
            "SMTPUTF8": ("MAIL FROM:<a@x> SMTPUTF8", "555"),
            "CHUNKING": ("BDAT 0 LAST", "502"),
            "STARTTLS": ("STARTTLS", "502"),
            "AUTH": ("AUTH PLAIN AGEAYg==", "502"),
            "ENHANCEDSTATUSCODES": ("NOOP", "250"),
            "PIPELINING": ("NOOP", "250"),
        }
        for name in EXTENSIONS:
            with self.subTest(name), \
                    Sink("--starttls", "0", "--without", name) as sink, \
                    Client(sink.address("starttls")) as client:
                self.assertEqual(set(client.ehlo()),
                                 EXTENSIONS - {name} | {"HELP"})
                command, code = refused[name]
                reply = client.command(command)
                self.assertEqual(reply[:3], code)
                if name == "ENHANCEDSTATUSCODES":
                    self.assertEqual(reply, "250 Ok")

    def test_server_without_ehlo_takes_helo(self):
        with Sink("--smtp", "0", "--without", "EHLO") as sink, \
                smtplib.SMTP(*sink.address("smtp"), timeout=10) as client:
            client.sendmail("a@x", ["b@y"], "hi")
            self.assertFalse(client.does_esmtp)
            self.assertEqual(len(sink.messages()), 1)

    def test_pipelining_that_is_not_offered_is_counted(self):
        with Sink("--smtp", "0", "--without", "PIPELINING") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            client.send("NOOP\r\nNOOP\r\n")
            client.reply()
            client.reply()
            self.assertEqual(sink.summary()["pipelining_errors"], 1)

    def test_utf8_addresses_arrive(self):
        with Sink("--smtp", "0") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            self.assertEqual(client.command("MAIL FROM:<ä@x.test>")[:3], "553")
            self.assertEqual(
                client.commands("MAIL FROM:<ä@x.test> SMTPUTF8",
                                "RCPT TO:<ö@üx.test>"), ["250", "250"])
            client.data("hi\r\n")
            message = sink.messages()[0]
            self.assertEqual(message["from"], "ä@x.test")
            self.assertEqual(message["to"], ["ö@üx.test"])


class Tls(unittest.TestCase):
    def test_certificate_is_good_for_its_names(self):
        with Sink("--smtps", "0", "--name", "mail.test", "--name",
                  "10.1.2.3") as sink:
            for name in ("localhost", "127.0.0.1", "::1", "mail.test",
                         "10.1.2.3"):
                with Client(sink.address("smtps"), tls=sink.tls(),
                            name=name) as client:
                    self.assertEqual(client.socket.version(), "TLSv1.3")
            with self.assertRaises(ssl.SSLCertVerificationError):
                Client(sink.address("smtps"), tls=sink.tls(), name="x.test")

    def test_bad_certificates_are_refused_by_clients(self):
        for kind, words in (("expired", "expired"),
                            ("wrong-host", "(?i)hostname mismatch"),
                            ("untrusted", "unable to get local issuer")):
            with self.subTest(kind), \
                    Sink("--smtps", "0", "--bad-cert", kind) as sink:
                with self.assertRaisesRegex(ssl.SSLCertVerificationError,
                                            words):
                    Client(sink.address("smtps"), tls=sink.tls())
                wait_until(lambda: sink.summary()["tls_failed"] == 1,
                           "the failed handshake is counted")

    def test_files_are_used_as_certificate(self):
        with Sink("--smtps", "0") as maker:
            directory = maker.directory
            cert = os.path.join(directory, "own.pem")
            key = os.path.join(directory, "own.key")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
                 cert, "-days", "2", "-subj", "/CN=own.test", "-addext",
                 "subjectAltName=DNS:own.test"], check=True, timeout=30,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with Sink("--smtps", "0", "--cert", cert, "--key", key) as sink:
                context = ssl.create_default_context(cafile=cert)
                Client(sink.address("smtps"), tls=context,
                       name="own.test").close()

    def test_sessions_are_resumed(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with Sink("--smtps", "0") as sink:
                context = sink.tls()
                context.maximum_version = version
                first = Client(sink.address("smtps"), tls=context)
                first.ehlo()
                session = first.socket.session
                first.close()
                with Client(sink.address("smtps"), greeting=False) as second:
                    second.start_tls(context, session)
                    second.reply()
                    self.assertTrue(second.socket.session_reused)
                summary = sink.summary()
                self.assertEqual((summary["tls"], summary["tls_resumed"]),
                                 (2, 1))

    def test_old_protocols_are_refused_and_12_can_be_the_last(self):
        with Sink("--smtps", "0", "--tls12") as sink:
            with Client(sink.address("smtps"), tls=sink.tls()) as client:
                self.assertEqual(client.socket.version(), "TLSv1.2")
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname = False
            old.verify_mode = ssl.CERT_NONE
            old.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                old.minimum_version = ssl.TLSVersion.TLSv1
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with self.assertRaises((ssl.SSLError, ConnectionResetError)):
                Client(sink.address("smtps"), tls=old)

    def test_starttls_forgets_and_takes_nothing_over(self):
        with Sink("--starttls", "0", "--require-tls") as sink, \
                Client(sink.address("starttls")) as client:
            client.ehlo()
            self.assertEqual(client.command("MAIL FROM:<a@x>")[:3], "530")
            client.send("STARTTLS\r\nMAIL FROM:<evil@x>\r\n")
            self.assertEqual([client.reply()[:3] for _ in range(2)],
                             ["503", "530"])
            self.assertEqual(client.command("STARTTLS")[:3], "220")
            client.start_tls(sink.tls())
            self.assertEqual(client.command("MAIL FROM:<a@x>")[:3], "503")
            self.assertNotIn("STARTTLS", client.ehlo())
            self.assertEqual(client.deliver()[:3], "250")


class Auth(unittest.TestCase):
    def test_names_and_passwords_are_checked(self):
        with Sink("--smtp", "0", "--auth", "me:secret", "--auth", "you:p:q",
                  "--require-auth") as sink:
            for user, password in (("me", "secret"), ("you", "p:q")):
                with smtplib.SMTP(*sink.address("smtp"), timeout=10) as client:
                    with self.assertRaises(smtplib.SMTPSenderRefused) as seen:
                        client.sendmail("a@x", ["b@y"], "hi")
                    self.assertEqual(seen.exception.smtp_code, 530)
                    with self.assertRaises(smtplib.SMTPAuthenticationError):
                        client.login(user, "wrong")
                    client.login(user, password)
                    client.sendmail("a@x", ["b@y"], "hi")
            self.assertEqual([m["auth"] for m in sink.messages()],
                             ["me", "you"])
            summary = sink.finish()
            self.assertEqual(summary["auth"], 2)
            # smtplib tries PLAIN and then LOGIN.
            self.assertGreaterEqual(summary["auth_failed"], 2)

    def test_plain_and_login_with_and_without_initial_response(self):
        plain = base64.b64encode(b"\0me\0secret").decode()
        name, word = (base64.b64encode(t).decode() for t in (b"me", b"secret"))
        for steps in ((f"AUTH PLAIN {plain}",), ("AUTH PLAIN", plain),
                      ("AUTH LOGIN", name, word), (f"AUTH LOGIN {name}", word),
                      ("auth plain", plain)):
            with Sink("--smtp", "0", "--auth", "me:secret") as sink, \
                    Client(sink.address("smtp")) as client:
                client.ehlo()
                codes = client.commands(*steps)
                self.assertEqual(codes, ["334"] * (len(steps) - 1) + ["235"])

    def test_auth_only_over_tls(self):
        with Sink("--starttls", "0", "--auth-needs-tls") as sink, \
                Client(sink.address("starttls")) as client:
            self.assertNotIn("AUTH", client.ehlo())
            self.assertEqual(client.command("AUTH PLAIN AGEAYg==")[:3], "538")
            client.command("STARTTLS")
            client.start_tls(sink.tls())
            self.assertIn("AUTH", client.ehlo())
            self.assertEqual(client.command("AUTH PLAIN AGEAYg==")[:3], "235")


class Keeping(unittest.TestCase):
    NASTY = (b"Message-ID: <1@x>\r\nX: \xff\x00\x80\r\n\r\n"
             b"bare\nlf and bare\rcr\n.\nnot the end\n.\r\n"
             b"\r\r\n" + b"long" * 5000 + b"\r\n.dot\r\n..\r\n\r\n")

    def files(self, directory):
        new = os.path.join(directory, "new")
        self.assertEqual(os.listdir(os.path.join(directory, "tmp")), [])
        result = []
        for name in sorted(os.listdir(new),
                           key=lambda name: int(name.split("Q")[1][:-5])):
            with open(os.path.join(new, name), "rb") as file:
                result.append(file.read())
        return result

    def test_maildir_has_envelope_and_exact_bytes(self):
        with tempfile.TemporaryDirectory() as parent:
            directory = os.path.join(parent, "mail")
            with Sink("--smtp", "0", "--dir", directory) as sink, \
                    Client(sink.address("smtp")) as client:
                client.ehlo()
                stuffed = b"\r\n".join(
                    b"." + line if line.startswith(b".") else line
                    for line in self.NASTY.split(b"\r\n"))
                self.assertEqual(
                    client.deliver(stuffed, recipients=("b@y", "c@z"))[:3],
                    "250")
                client.mail(sender="")
                size = len(self.NASTY)
                client.send(b"BDAT 10\r\n" + self.NASTY[:10] +
                            b"BDAT %d LAST\r\n" % (size - 10) +
                            self.NASTY[10:])
                self.assertEqual(client.reply()[:3], "250")
                self.assertEqual(client.reply()[:3], "250")
                files = self.files(directory)
                self.assertEqual(files[0],
                                 b"X-Envelope-From: a@x.test\r\n"
                                 b"X-Envelope-To: b@y\r\n"
                                 b"X-Envelope-To: c@z\r\n"
                                 b"X-Envelope-Connection: 1\r\n" + self.NASTY)
                self.assertEqual(files[1],
                                 b"X-Envelope-From: \r\n"
                                 b"X-Envelope-To: b@y.test\r\n"
                                 b"X-Envelope-Connection: 1\r\n" + self.NASTY)
                log = sink.messages()
                self.assertEqual([m["size"] for m in log], [size, size])
                self.assertEqual([m["command"] for m in log],
                                 ["DATA", "BDAT"])
                self.assertTrue(os.path.exists(
                    os.path.join(directory, "new", log[0]["file"])))

    def test_large_message_and_cut_message(self):
        with tempfile.TemporaryDirectory() as parent:
            directory = os.path.join(parent, "mail")
            with Sink("--smtp", "0", "--dir", directory) as sink:
                content = (b"0123456789" * 7 + b"\r\n") * 50000
                with Client(sink.address("smtp")) as client:
                    client.ehlo()
                    client.deliver(content)
                    client.mail()
                    client.command("DATA")
                    client.send(content)
                wait_until(lambda: sink.summary()["messages_cut"] == 1,
                           "the cut message is counted")
                files = self.files(directory)
                self.assertEqual(len(files), 1)
                self.assertTrue(files[0].endswith(b"\r\n" + content))

    def test_duplicates_are_counted_by_message_id_and_recipient(self):
        with Sink("--smtp", "0") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            text = "Subject: x\r\nMessage-Id: <%s@x>\r\n\r\nhi\r\n"
            client.deliver(text % 1, recipients=("a@y", "b@y"))
            client.deliver(text % 1, recipients=("b@Y", "c@y"))
            client.deliver(text % 2, recipients=("a@y",))
            client.deliver("Subject: none\r\n\r\n")
            summary = sink.summary()
            self.assertEqual(
                [summary[name] for name in ("messages", "recipients", "unique",
                                            "duplicates", "no_message_id")],
                [4, 6, 4, 1, 1])
            self.assertEqual([m["duplicates"] for m in sink.messages()],
                             [0, 1, 0, 0])

    def test_memory_of_pairs_is_bounded(self):
        with Sink("--smtp", "0", "--remember", "2") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            for number in (1, 2, 3, 1, 3):
                client.deliver(f"Message-ID: <{number}@x>\r\n\r\n")
            summary = sink.summary()
            self.assertEqual([summary[name] for name in
                              ("unique", "duplicates", "forgotten")],
                             [4, 1, 2])

    def test_summary_at_the_end_and_into_a_file(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with tempfile.TemporaryDirectory() as parent:
                path = os.path.join(parent, "summary")
                with Sink("--smtp", "0", "--summary", path) as sink, \
                        Client(sink.address("smtp")) as client:
                    client.ehlo()
                    sink.send(signal.SIGUSR1)
                    wait_until(lambda p=path: os.path.exists(p), "a summary")
                    client.deliver()
                    self.assertEqual(sink.stop(number), 0)
                    self.assertEqual(sink.written["stdout"][1:], [])
                    with open(path, encoding="utf-8") as file:
                        self.assertEqual(json.load(file)["messages"], 1)
            with Sink("--smtp", "0") as sink:
                sink.summary()
                self.assertEqual(sink.stop(number), 0)
                summary = json.loads(sink.written["stdout"][-1])
                self.assertEqual(len(sink.written["stdout"]), 3)
                self.assertEqual(summary["event"], "summary")
                self.assertGreater(summary["cpu_us"], 0)

    def test_summary_in_steps_of_time(self):
        with Sink("--smtp", "0", "--every", "50ms") as sink:
            found = [json.loads(sink.wait_line(lambda line: line[0] == "{"))
                     for _ in range(4)]
        for i, summary in enumerate(found):
            self.assertGreaterEqual(summary["uptime_ms"], 50 * (i + 1))


class Limits(unittest.TestCase):
    def test_connections(self):
        with Sink("--smtp", "0", "--smtps", "0", "--max-connections",
                  "2") as sink:
            first = Client(sink.address("smtp"))
            second = Client(sink.address("smtps"), tls=sink.tls())
            for kind, tls in (("smtp", None), ("smtps", sink.tls())):
                with Client(sink.address(kind), tls=tls) as third:
                    self.assertEqual(third.greeting[:3], "421")
                    self.assertEqual(third.rest(), b"")
            first.close()
            second.close()
            wait_until(lambda: sink.summary()["connections_open"] == 0,
                       "all are closed")
            with Client(sink.address("smtp")) as client:
                self.assertEqual(client.greeting[:3], "220")
            self.assertEqual(sink.summary()["connections_refused"], 2)

    def test_recipients_messages_and_size(self):
        with Sink("--smtp", "0", "--max-recipients", "2", "--max-messages",
                  "2", "--max-size", "1000") as sink, \
                Client(sink.address("smtp")) as client:
            self.assertEqual(client.ehlo()["SIZE"], ["1000"])
            self.assertEqual(
                client.mail(recipients=("a@y", "b@y", "c@y")),
                ["250", "250", "250", "452"])
            self.assertEqual(client.data("hi\r\n")[:3], "250")
            self.assertEqual(client.command("MAIL FROM:<a@x> SIZE=1001")[:3],
                             "552")
            client.mail()
            self.assertEqual(client.data("x" * 1000 + "\r\n")[:3], "552")
            self.assertEqual(client.deliver()[:3], "250")
            self.assertEqual(client.command("MAIL FROM:<a@x>")[:3], "421")
            self.assertEqual(client.rest(), b"")
            self.assertEqual(sink.messages()[0]["to"], ["a@y", "b@y"])

    def test_idle_connections_are_closed(self):
        with Sink("--smtp", "0", "--smtps", "0", "--idle", "100") as sink:
            with Client(sink.address("smtp")) as client:
                self.assertEqual(client.reply()[:3], "421")
                self.assertEqual(client.rest(), b"")
            # A handshake that never comes is an idle connection, too.
            with Client(sink.address("smtps"), greeting=False) as client:
                self.assertEqual(client.rest(), b"")
            self.assertEqual(sink.summary()["connections_open"], 0)

    def test_endless_lines_and_garbage_cost_nothing(self):
        with Sink("--smtp", "0", "--smtps", "0") as sink:
            before = sink.summary()["max_rss_kib"]
            with Client(sink.address("smtp")) as client:
                for _ in range(300):
                    client.send(b"x" * 100000)
                client.send("\r\n")
                self.assertRegex(client.reply(), "^500 5.5.2 Line too long")
                self.assertEqual(client.command("NOOP")[:3], "250")
            with Client(sink.address("smtp")) as client:
                try:
                    client.send(b"\0\xff\n\r\n" * 20000)
                    replies = client.rest()
                    self.assertIn(b"421 4.7.0 Too many errors", replies)
                except (Closed, ConnectionError):
                    pass
            with Client(sink.address("smtps"), greeting=False) as client:
                client.send(b"\x16\x03\x01\xff\xff" + b"A" * 100000)
                try:
                    client.rest()
                except Closed:
                    pass
            with Client(sink.address("smtps"), greeting=False) as client:
                client.send(b"\x16\x03\x01")
            summary = sink.summary()
            self.assertLess(summary["max_rss_kib"] - before, 8192)
            self.assertGreaterEqual(summary["tls_failed"], 1)

    def test_client_that_does_not_read_is_not_listened_to(self):
        with Sink("--smtp", "0") as sink, \
                Client(sink.address("smtp")) as client:
            client.ehlo()
            client.socket.settimeout(1)
            sent = 0
            with self.assertRaises(TimeoutError):
                while sent < 1 << 30:
                    sent += client.socket.send(b"EHLO client.test\r\n" * 1000)
            self.assertLess(sink.summary()["max_rss_kib"], 65536)
            with Client(sink.address("smtp")) as other:
                self.assertEqual(other.command("NOOP")[:3], "250")
            # Once it reads, it gets an answer to each.
            client.socket.settimeout(10)
            whole = sent // 18
            for _ in range(whole):
                client.reply()


if __name__ == "__main__":
    unittest.main()
