"""Postfix, with its users' passwords asked of Dovecot."""

import grp
import os
import pwd
import re

from real_server import FIRST_USER, PASSWORD, RealServer, tree

# Services for the tests, besides what Postfix needs inside.
MASTER = """
{smtps} inet n - n - 100 smtpd
  -o smtpd_tls_wrappermode=yes
{submission} inet n - n - 100 smtpd
  -o smtpd_tls_security_level=encrypt
{crowded} inet n - n - 100 smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_client_event_limit_exceptions=
  -o smtpd_client_connection_count_limit=2
{hasty} inet n - n - 100 smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_client_event_limit_exceptions=
  -o smtpd_client_message_rate_limit=20
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

# local_header_rewrite_clients: 127.0.0.1 is one's own machine to Postfix, and
# it rewrites the addresses in such mail unless told not to.
MAIN = """
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
daemon_directory = {tree}/usr/lib/postfix/sbin
command_directory = {tree}/usr/sbin
shlib_directory = {tree}/usr/lib/postfix
meta_directory = {directory}/meta
import_environment = MAIL_CONFIG LANG=C LD_LIBRARY_PATH LD_PRELOAD
  NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP FAKEROOTKEY
mail_owner = postfix
setgid_group = postdrop
default_privs = nobody
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
myhostname = postfix.example.net
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
local_header_rewrite_clients =
alias_maps =
virtual_mailbox_domains = example.net
virtual_mailbox_base = {directory}/mail
virtual_mailbox_maps = texthash:{directory}/mailboxes
virtual_uid_maps = static:{user}
virtual_gid_maps = static:{user}
message_size_limit = 50000000
virtual_mailbox_limit = 0
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_auth_only = yes
smtpd_tls_received_header = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {directory}/auth
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
  check_recipient_access inline:{{ {{ later@example.net =
    450 4.2.1 The mailbox is busy }} }}
  reject_unlisted_recipient
anvil_rate_time_unit = 5s
"""

DOVECOT = """
base_dir = {directory}/dovecot
state_dir = {directory}/dovecot
libexec_dir = {tree}/usr/lib/dovecot
mail_plugin_dir = {tree}/usr/lib/dovecot/modules
protocols =
ssl = no
log_path = {directory}/log-dovecot
default_internal_user = {internal_user}
default_internal_group = {internal_group}
default_login_user = {internal_user}
import_environment = LD_LIBRARY_PATH NSS_WRAPPER_PASSWD
auth_mechanisms = plain login
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = {directory}/dovecot.users
}}
userdb {{
  driver = static
  args = uid={user} gid={user} home=/
}}
service auth {{
  user = {runs_as}
  chroot =
  unix_listener {directory}/auth {{
    mode = 0666
  }}
}}
service anvil {{
  user = {runs_as}
  chroot =
}}
service stats {{
  user = {runs_as}
  chroot =
}}
"""


class Postfix(RealServer):
    """crowded takes two connections, hasty 20 messages in five seconds."""

    name = "postfix"
    users = ("postfix", "postdrop", "nobody")
    services = ("smtps", "submission", "crowded", "hasty")

    def configure(self):
        d = self.directory
        values = {"directory": d, "tree": tree(), "user": FIRST_USER,
                  "certificate": self.certificate, "key": self.key,
                  **self.dovecot_users()}
        for name in ("active", "bounce", "corrupt", "defer", "deferred",
                     "flush", "hold", "incoming", "maildrop", "pid", "private",
                     "public", "saved", "trace"):
            (d / "queue" / name).mkdir(parents=True)
        for name in ("data", "meta", "dovecot"):
            (d / name).mkdir()
        self.write("meta/dynamicmaps.cf", "")
        self.write("main.cf", MAIN.format(**values))
        self.write("master.cf", MASTER.format(**self.ports))
        self.write("mailboxes", "".join(
            f"{person}@example.net {person}/\n" for person in self.people))
        self.write("dovecot.conf", DOVECOT.format(**values))
        self.write("dovecot.users", "app:{PLAIN}" + PASSWORD + "\n")

    @staticmethod
    def dovecot_users():
        """Dovecot runs as whoever starts it, and asks for names of others.
        It is neither deceived by fakeroot (it tries whether it can become
        root again) nor by libnss_wrapper (it moves its environment)."""
        user = pwd.getpwuid(os.getuid())
        if user.pw_uid == 0:
            return {"runs_as": "root", "internal_user": "nobody",
                    "internal_group": "nogroup"}
        return {"runs_as": user.pw_name, "internal_user": user.pw_name,
                "internal_group": grp.getgrgid(user.pw_gid).gr_name}

    def start(self):
        # As dovecot calls /usr/bin/doveconf, which is not there, to call it.
        variables = self.own_environment()
        config = ["-c", self.directory / "dovecot.conf"]
        self.launch([tree() / "usr/bin/doveconf", "-f", "service=master",
                     "-m", "master", *config, "-e",
                     tree() / "usr/sbin/dovecot", "-F", *config],
                    {**variables,
                     "DOVECOT_PRESERVE_ENVS": " ".join(variables)})
        self.launch([tree() / "usr/lib/postfix/sbin/master", "-d", "-c",
                     self.directory], self.environment())

    def waiting(self):
        return sum(1 for name in ("incoming", "active", "deferred", "corrupt")
                   for path in (self.directory / "queue" / name).rglob("*")
                   if path.is_file())

    def seen(self):
        """Of sessions that are over; "bdat=3/4": three of four were good."""
        counts = {"data": 0, "bdat": 0}
        for line in self.news():
            if "disconnect from" in line:
                for name, good in re.findall(r"(data|bdat)=(\d+)", line):
                    counts[name] += int(good)
        return {"messages": counts["data"] + counts["bdat"],
                "chunks": counts["bdat"]}
