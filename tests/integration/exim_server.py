"""Exim, as Debian builds it with few features (exim4-daemon-light)."""

from real_server import PASSWORD, RealServer, tree

# A queue runner delivers: the process per message that Exim would start
# leaves no time for the mail that is still coming.
CONFIG = r"""
primary_hostname = exim.example.net
exim_path = {directory}/exim
spool_directory = {directory}/spool
log_file_path = {directory}/log-%s
pid_file_path = {directory}/pid
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
keep_environment = LD_LIBRARY_PATH : LD_PRELOAD : ^NSS_WRAPPER : FAKEROOTKEY
local_interfaces = 127.0.0.1
daemon_smtp_ports = {smtps} : {submission} : {strict}
smtp_accept_max_nonmail_hosts = \
  ${{if eq{{$received_port}}{{{strict}}}{{*}}{{}}}}
tls_on_connect_ports = {smtps}
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
auth_advertise_hosts = ${{if def:tls_in_cipher {{*}}}}
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
message_size_limit = 50M
smtp_accept_max = 200
smtp_accept_max_per_connection = 10000
smtp_accept_queue_per_connection = 0
rfc1413_query_timeout = 0s
host_lookup =
dns_again_means_nonexist = *
queue_only = true
split_spool_directory = false
domainlist local_domains = example.net
localpartlist people = {people}
acl_smtp_mail = check_mail
acl_smtp_rcpt = check_rcpt
acl_smtp_data = accept

begin acl
check_mail:
  deny !authenticated = *
       message = 5.7.0 authentication needed
  accept
check_rcpt:
  defer local_parts = later
        message = 4.2.1 The mailbox is busy
  deny !domains = +local_domains
       message = 5.7.1 relaying denied
  deny !local_parts = +people
       message = 5.1.1 no such user here
  accept

begin routers
maildirs:
  driver = accept
  domains = +local_domains
  local_parts = +people
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = {directory}/mail/$local_part_data
  maildir_format
  create_directory
  user = Debian-exim
  group = Debian-exim
  delivery_date_add
  envelope_to_add
  return_path_add

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and {{{{eq{{$auth2}}{{app}}}} \
    {{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""


class Exim(RealServer):
    """strict ends a session after ten commands that are of no use to it, among
    them RSET behind a mail that had no recipient, as Exim does by default."""

    name = "exim"
    users = ("Debian-exim",)
    services = ("smtps", "submission", "strict")
    main_log = "log-main"

    def configure(self):
        (self.directory / "spool").mkdir()
        # Exim calls itself by the path of its configuration.
        (self.directory / "exim").symlink_to(tree() / "usr/sbin/exim4")
        self.write("exim.conf", CONFIG.format(
            directory=self.directory, certificate=self.certificate,
            key=self.key, people=" : ".join(self.people),
            password=PASSWORD.replace(";", "\\;"), **self.ports))

    def start(self):
        self.launch([self.directory / "exim", "-bdf", "-C",
                     self.directory / "exim.conf"], self.environment())

    def flush(self):
        self.run([self.directory / "exim", "-C", self.directory / "exim.conf",
                  "-q"])

    def waiting(self):
        return sum(1 for _ in (self.directory / "spool/input").glob("*-H"))

    def seen(self):
        taken = [line.split() for line in self.news() if " <= " in line]
        return {"messages": len(taken),
                "chunks": sum("K" in words for words in taken)}
