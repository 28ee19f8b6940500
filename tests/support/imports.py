"""Six set-ups of other mail programs, as their manuals write them, for one smarthost with logins.

Each is a folder of files; `{host}`, `{port}`, `{folder}` and `{cafile}` stand for what the test has. `PASSWORD` has what breaks careless
readers: a colon, a hash would be a comment to sSMTP.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PASSWORD = "pass:word=1"
FQDN = "mail.shop.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """One program, and what becomes of mail of `sender`."""

    kind: str
    path: str  # below the folder
    files: Mapping[str, str]
    sender: str  # a program of this machine sends as
    given: str  # and the smarthost is given
    user: str  # that it logs in as


_MAIN = """\
# See /usr/share/postfix/main.cf.dist for a commented, more complete version
compatibility_level = 3.6
myhostname = mail.shop.example
mydomain = shop.example
myorigin = $myhostname
mydestination = $myhostname, localhost.$mydomain,
    localhost
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
inet_interfaces = loopback-only
relayhost = [{host}]:{port}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:${{config_directory}}/sasl_passwd
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = encrypt
alias_maps = hash:{folder}/aliases
"""
ALL = {
    "postfix": SetUp(
        kind="postfix",
        path="postfix",
        files={
            "postfix/main.cf": _MAIN + "smtp_generic_maps = hash:{folder}/postfix/generic\n",
            "postfix/master.cf": "smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp\n",
            "postfix/sasl_passwd": "# destination   credentials\n[{host}]:{port}   shop:pass:word=1\n",
            "postfix/generic": "www-data   web@shop.example\n",
            "aliases": "postmaster: root\nroot: ops@shop.example\n",
        },
        sender=f"www-data@{FQDN}",
        given="web@shop.example",
        user="shop",
    ),
    "postfix by sender": SetUp(
        kind="postfix",
        path="postfix/main.cf",
        files={
            "postfix/main.cf": _MAIN
            + "smtp_sender_dependent_authentication = yes\n"
            + "sender_dependent_relayhost_maps = hash:{folder}/postfix/sender_relay\n",
            "postfix/master.cf": "smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp\n",
            "postfix/sasl_passwd": "user1@news.example  letter:pass:word=1\n[{host}]:{port}  shop:wrong\n",
            "postfix/sender_relay": "# Per-sender provider\nuser1@news.example  [{host}]:{port}\n",
            "aliases": "",
        },
        sender="user1@news.example",
        given="user1@news.example",
        user="letter",
    ),
    "msmtp": SetUp(
        kind="msmtp",
        path="msmtprc",
        files={
            "msmtprc": """\
# Set default values for all following accounts.
defaults
auth           on
tls            on
tls_trust_file {cafile}
syslog         on

# A service
account        provider
host           {host}
port           {port}
from           web@shop.example
user           shop
passwordeval   "cat {folder}/secret"
domain         mail.shop.example
aliases        {folder}/aliases

account default : provider
""",
            "secret": "pass:word=1\n",
            "aliases": "root: ops@shop.example # people\ndefault: admin@shop.example\n",
        },
        sender=f"www-data@{FQDN}",
        given="web@shop.example",
        user="shop",
    ),
    "ssmtp": SetUp(
        kind="ssmtp",
        path="ssmtp",
        files={
            "ssmtp/ssmtp.conf": """\
# The person who gets all mail for userids < 1000
root=postmaster@shop.example
mailhub={host}:{port} # the provider
hostname=mail.shop.example
FromLineOverride=YES
UseSTARTTLS=YES
AuthUser=shop
AuthPass=pass:word=1
""",
            "ssmtp/revaliases": "# Example: root:your_login@your.domain:mailhub.your.domain[:port]\nwww-data:web@shop.example:{host}:{port}\n",
        },
        sender=f"www-data@{FQDN}",
        given="web@shop.example",
        user="shop",
    ),
    "nullmailer": SetUp(
        kind="nullmailer",
        path="nullmailer",
        files={
            "nullmailer/remotes": "# the provider\n{host} smtp port={port} starttls user=shop pass='pass:word=1'\n",
            "nullmailer/me": "mail.shop.example\n",
            "nullmailer/defaulthost": "shop.example\n",
            "nullmailer/adminaddr": "ops@shop.example, admin@shop.example\n",
            "mailname": "mail.shop.example\n",
        },
        sender=f"www-data@{FQDN}",
        given="www-data@shop.example",
        user="shop",
    ),
    "exim": SetUp(
        kind="exim-smarthost",
        path="exim4",
        files={
            "exim4/update-exim4.conf.conf": """\
# /etc/exim4/update-exim4.conf.conf
dc_eximconfig_configtype='satellite'
dc_other_hostnames='mail.shop.example'
dc_local_interfaces='127.0.0.1 ; ::1'
dc_readhost='shop.example'
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost='{host}::{port}'
dc_use_split_config='false'
dc_hide_mailname='true'
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
""",
            "exim4/exim4.conf.localmacros": "MAIN_HARDCODE_PRIMARY_HOSTNAME = mail.shop.example\n",
            "exim4/passwd.client": "# target.mail.server.example:login:password\n*.provider.test:other:wrong\n{host}:shop:pass:word=1\n",
            "email-addresses": "www-data: web@shop.example\n",
            "aliases": "mailer-daemon: postmaster\npostmaster: root\nroot: ops@shop.example\n",
            "mailname": "mail.shop.example\n",
        },
        sender=f"www-data@{FQDN}",
        given="web@shop.example",
        user="shop",
    ),
}
