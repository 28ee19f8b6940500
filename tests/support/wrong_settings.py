"""Wrong settings files of one mistake each: the key that is named, what was expected, the file.

Files that need other files beside them (secrets, certificates, users, rules) are in the tests of these.
"""

FQDN = 'fqdn = "relay.example.org"\n'
NEWSLETTER = '[smarthosts.newsletter]\nhosts = ["h:587"]\n'
LOGIN = '[smarthost]\nusername = "app"\n'
OAUTH2 = f'{FQDN}[smarthost]\nhosts = ["mail.example.org:587"]\ntls = "verify"\nauth = "oauth2"\n'
USER = f'{OAUTH2}username = "app@example.org"\n'
MICROSOFT = f'{USER}oauth2_provider = "microsoft"\n'
WRONG = {
    "oauth2-no-user": (
        "smarthost.username",
        "the mailbox that sends",
        (
            f'{OAUTH2}oauth2_provider = "microsoft"\noauth2_tenant = "x"\noauth2_flow = "refresh_token"\n'
            'oauth2_client_id = "id"'
        ),
    ),
    "oauth2-no-tenant": (
        "smarthost.oauth2_tenant",
        "microsoft",
        f'{MICROSOFT}oauth2_flow = "refresh_token"\noauth2_client_id = "id"',
    ),
    "oauth2-no-client": (
        "smarthost.oauth2_client_id",
        "with refresh_token needs it",
        f'{MICROSOFT}oauth2_tenant = "x"\noauth2_flow = "refresh_token"',
    ),
    "oauth2-no-secret": (
        "smarthost.oauth2_client_secret_file",
        "with client_credentials needs it",
        f'{MICROSOFT}oauth2_tenant = "x"\noauth2_client_id = "id"',
    ),
    "oauth2-no-key": (
        "smarthost.oauth2_key_file",
        "with service_account needs it",
        f'{USER}oauth2_provider = "google"',
    ),
    "oauth2-no-url": (
        "smarthost.oauth2_token_url",
        "OAuth2 with refresh_token needs it",
        f'{USER}oauth2_flow = "refresh_token"\noauth2_client_id = "id"',
    ),
    "oauth2-no-such-flow": (
        "smarthost.oauth2_flow",
        "google has no client_credentials",
        f'{USER}oauth2_provider = "google"\noauth2_flow = "client_credentials"',
    ),
    "oauth2-tenant-of-google": (
        "smarthost.oauth2_tenant",
        "has no use for it",
        (
            f'{USER}oauth2_provider = "google"\noauth2_flow = "refresh_token"\noauth2_client_id = "id"\n'
            'oauth2_tenant = "x"'
        ),
    ),
    "oauth2-other-auth": (
        "smarthost.oauth2_tenant",
        'auth is not "oauth2"',
        f'{FQDN}[smarthost]\noauth2_tenant = "x"',
    ),
    "oauth2-clear-text": (
        "smarthost.oauth2_token_url",
        "https://HOST/PATH",
        (
            f'{USER}oauth2_token_url = "http://login.test/"\noauth2_flow = "refresh_token"\n'
            'oauth2_client_id = "id"'
        ),
    ),
    "oauth2-tenant-with-a-slash": (
        "smarthost.oauth2_tenant",
        "a domain of it",
        f'{MICROSOFT}oauth2_tenant = "x/../y"\noauth2_flow = "refresh_token"\noauth2_client_id = "id"',
    ),
    "oauth2-no-tls": (
        "smarthost.tls",
        "proves no name",
        f'{MICROSOFT}oauth2_tenant = "x"\noauth2_flow = "refresh_token"\noauth2_client_id = "id"'.replace(
            "verify", "required"
        ),
    ),
    "fqdn-missing": ("fqdn", "is missing", ""),
    "fqdn-type": ("fqdn", "text in quotes", "fqdn = 5"),
    "fqdn-no-dot": ("fqdn", "at least one dot", 'fqdn = "relay"'),
    "fqdn-dot-at-end": ("fqdn", "without a dot at its end", 'fqdn = "relay.example.org."'),
    "fqdn-not-ascii": ("fqdn", "A-labels", 'fqdn = "relay.exämple.org"'),
    "fqdn-address": ("fqdn", "no address", 'fqdn = "192.0.2.1"'),
    "fqdn-hyphen": ("fqdn", "inner hyphens", 'fqdn = "-relay.example.org"'),
    "fqdn-long-label": ("fqdn", "labels of", f'fqdn = "{"a" * 64}.example.org"'),
    "fqdn-injection": ("fqdn", "control characters", r'fqdn = "relay.example.org\r\nX: y"'),
    "workers-zero": ("workers", "from 1 to 64", FQDN + "workers = 0"),
    "workers-text": ("workers", 'or "auto"', FQDN + 'workers = "4"'),
    "workers-bool": ("workers", "whole number", FQDN + "workers = true"),
    "workers-huge": ("workers", "from 1 to 64", FQDN + "workers = 0x" + "f" * 5000),
    "unknown-top": ("worker", 'did you mean "workers"?', FQDN + "worker = 1"),
    "unknown-table": ("smarthosst", 'did you mean "smarthosts"?', FQDN + "[smarthosst]"),
    "unknown-nested": (
        "limits.mesage_size",
        'did you mean "message_size"?',
        FQDN + '[limits]\nmesage_size = "1MB"',
    ),
    "unknown-listener-key": (
        "listen[0].adress",
        'did you mean "address"?',
        FQDN + '[[listen]]\nadress = "127.0.0.1:25"',
    ),
    "unknown-elsewhere": (
        "hosts",
        'there is "smarthost.hosts"',
        FQDN + 'hosts = ["192.0.2.1:25"]',
    ),
    "unknown-no-idea": ("log.zzz", "the keys here are level, format", FQDN + "[log]\nzzz = 1"),
    "unknown-odd-name": (r'"a\nb"', "unknown key", FQDN + r'"a\nb" = 1'),
    "table-is-number": ("limits", "a table", FQDN + "limits = 5"),
    "table-is-list": ("retry", "a table", FQDN + "retry = [1]"),
    "listen-one-bracket": ("listen", "[[listen]]", FQDN + '[listen]\naddress = "127.0.0.1:25"'),
    "listen-entry-not-table": ("listen[0]", "a table", FQDN + 'listen = ["127.0.0.1:25"]'),
    "listen-empty": ("listen", "at least one entry", FQDN + "listen = []"),
    "listen-no-port": ("listen[0].address", "HOST:PORT", FQDN + '[[listen]]\naddress = "::1"'),
    "listen-port-range": (
        "listen[0].address",
        "HOST:PORT",
        FQDN + '[[listen]]\naddress = "127.0.0.1:65536"',
    ),
    "listen-bad-ipv4": (
        "listen[0].address",
        "HOST:PORT",
        FQDN + '[[listen]]\naddress = "127.0.0.256:25"',
    ),
    "listen-relative-unix": (
        "listen[0].address",
        "absolute path",
        FQDN + '[[listen]]\naddress = "unix:smtp.sock"',
    ),
    "listen-long-unix": (
        "listen[0].address",
        "at most 107 octets",
        FQDN + f'[[listen]]\naddress = "unix:/{"a" * 107}"',
    ),
    "listen-systemd-no-name": (
        "listen[0].address",
        "systemd:NAME",
        FQDN + '[[listen]]\naddress = "systemd:"',
    ),
    "listen-duplicate": (
        "listen[1].address",
        "duplicate: listen[0]",
        FQDN + '[[listen]]\naddress = "[::1]:25"\n[[listen]]\naddress = "[0::1]:25"',
    ),
    "listen-duplicate-default": (
        "listen[1].address",
        "duplicate",
        FQDN + "[[listen]]\n[[listen]]",
    ),
    "listen-open-without-networks": (
        "listen[1].networks",
        "is missing",
        FQDN + '[[listen]]\n[[listen]]\naddress = "0.0.0.0:26"',
    ),
    "networks-host-bits": (
        "listen[0].networks[1]",
        'write "10.0.0.0/8" for the whole network or "10.0.0.5/32"',
        FQDN + '[[listen]]\nnetworks = ["::1", "10.0.0.5/8"]',
    ),
    "networks-garbage": (
        "listen[0].networks[0]",
        "expected a network",
        FQDN + '[[listen]]\nnetworks = ["office"]',
    ),
    "networks-not-a-list": (
        "listen[0].networks",
        "a list",
        FQDN + '[[listen]]\naddress = "0.0.0.0:26"\nnetworks = "10.0.0.0/8"',
    ),
    "line-endings-word": (
        "listen[0].line_endings",
        '"reject", "normalize"',
        FQDN + '[[listen]]\nline_endings = "ignore"',
    ),
    "size-no-unit": ("limits.message_size", "a size such as", FQDN + "[limits]\nmessage_size = 35"),
    "size-bad-unit": (
        "limits.message_size",
        "a size such as",
        FQDN + '[limits]\nmessage_size = "35mb"',
    ),
    "size-too-large": (
        "limits.message_size",
        "512,000,000 octets",
        FQDN + '[limits]\nmessage_size = "1GB"',
    ),
    "recipients-zero": ("limits.recipients", "from 1", FQDN + "[limits]\nrecipients = 0"),
    "connections-float": (
        "limits.connections",
        "whole number",
        FQDN + "[limits]\nconnections = 1.5",
    ),
    "hosts-empty": ("smarthost.hosts", "at least one", FQDN + "[smarthost]\nhosts = []"),
    "hosts-text": ("smarthost.hosts", "a list", FQDN + '[smarthost]\nhosts = "192.0.2.1:25"'),
    "hosts-port-zero": (
        "smarthost.hosts[1]",
        "port from 1",
        FQDN + '[smarthost]\nhosts = ["192.0.2.1:25", "192.0.2.1:0"]',
    ),
    "hosts-wildcard": (
        "smarthost.hosts[0]",
        "a server to connect to",
        FQDN + '[smarthost]\nhosts = ["0.0.0.0:25"]',
    ),
    "hosts-url": (
        "smarthost.hosts[0]",
        "HOST:PORT",
        FQDN + '[smarthost]\nhosts = ["smtp://mail.example.org:25"]',
    ),
    "loop-literal": (
        "smarthost.hosts[0]",
        "our own listener listen[0]",
        FQDN + '[smarthost]\nhosts = ["127.0.0.1:2525"]',
    ),
    "loop-localhost": (
        "smarthost.hosts[1]",
        "a loop",
        FQDN + '[smarthost]\nhosts = ["192.0.2.1:25", "LocalHost:2525"]',
    ),
    "loop-wildcard": (
        "smarthost.hosts[0]",
        "a loop",
        FQDN + '[[listen]]\naddress = "[::]:25"\nnetworks = ["::1"]',
    ),
    "loop-by-our-name": (
        "smarthost.hosts[0]",
        "a loop",
        FQDN + '[[listen]]\naddress = "0.0.0.0:26"\nnetworks = ["::1"]\n'
        '[smarthost]\nhosts = ["relay.example.org:26"]',
    ),
    "smarthost-tls-word": (
        "smarthost.tls",
        '"verify"',
        FQDN + "[smarthost]\ntls = true",
    ),
    "login-without-secret": ("smarthost.password_file", "is missing", FQDN + LOGIN),
    "login-without-token": (
        "smarthost.token_file",
        "is missing",
        FQDN + LOGIN + 'auth = "xoauth2"',
    ),
    "auth-without-login": (
        "smarthost.auth",
        "needs username",
        FQDN + '[smarthost]\nauth = "plain"',
    ),
    "duration-number": ("retry.give_up_after", "a duration", FQDN + "[retry]\ngive_up_after = 5"),
    "duration-no-unit": (
        "retry.give_up_after",
        "a duration",
        FQDN + '[retry]\ngive_up_after = "5"',
    ),
    "duration-zero": ("retry.soft_bounce[0]", "from 1s", FQDN + '[retry]\nsoft_bounce = ["0s"]'),
    "duration-order": (
        "retry.soft_bounce[1]",
        "1h30m",
        FQDN + '[retry]\nsoft_bounce = ["1m", "1m1h"]',
    ),
    "duration-overflow": ("store.history", "to 520w", FQDN + '[store]\nhistory = "999999w"'),
    "keep-bounced": ("store.keep_bounced", "a duration", FQDN + '[store]\nkeep_bounced = "0s"'),
    "duration-empty": ("store.history", "a duration", FQDN + '[store]\nhistory = ""'),
    "unreachable-empty": ("retry.unreachable", "at least one", FQDN + "[retry]\nunreachable = []"),
    "dsn-text": ("bounces.dsn", "true or false", FQDN + '[bounces]\ndsn = "yes"'),
    "store-relative": ("store.url", "absolute path", FQDN + '[store]\nurl = "sqlite:queue.db"'),
    "store-no-scheme": ("store.url", "sqlite:", FQDN + '[store]\nurl = "/srv/q.db"'),
    "store-slashes": ("store.url", "sqlite:", FQDN + '[store]\nurl = "sqlite:///srv/q.db"'),
    "socket-relative": ("control.socket", "absolute", FQDN + '[control]\nsocket = "c.sock"'),
    "status-log-relative": ("status_log.path", '"-"', FQDN + '[status_log]\npath = "status.log"'),
    "status-log-directory": (
        "status_log.path",
        "a file",
        FQDN + '[status_log]\npath = "/var/log/"',
    ),
    "log-level": ("log.level", '"debug", "info"', FQDN + '[log]\nlevel = "verbose"'),
    "log-format": ("log.format", '"console"', FQDN + '[log]\nformat = "text"'),
}
WRONG |= {
    "remote-text": ("use_remote_smtp", "true or false", FQDN + 'use_remote_smtp = "yes"'),
    "remote-number": ("use_remote_smtp", "true or false", FQDN + "use_remote_smtp = 1"),
    "remote-needs-a-name": ("fqdn", "is missing", "use_remote_smtp = true"),
    "direct-port": ("direct.port", "from 1 to 65535", FQDN + "[direct]\nport = 0"),
    "direct-tls": ("direct.tls", '"opportunistic"', FQDN + '[direct]\ntls = "on"'),
    "direct-source-name": (
        "direct.source_addresses[1]",
        "an IP address",
        FQDN + '[direct]\nsource_addresses = ["192.0.2.1", "mx.example.org"]',
    ),
    "direct-source-with-port": (
        "direct.source_addresses[0]",
        "an IP address",
        FQDN + '[direct]\nsource_addresses = ["192.0.2.1:25"]',
    ),
    "direct-families": ("direct.families", "at least one", FQDN + "[direct]\nfamilies = []"),
    "direct-family": (
        "direct.families[1]",
        '"ipv4", "ipv6"',
        FQDN + '[direct]\nfamilies = ["ipv4", "inet6"]',
    ),
    "direct-source-of-an-unused-family": (
        "direct.source_addresses[1]",
        "direct.families leaves out",
        FQDN + '[direct]\nfamilies = ["ipv4"]\nsource_addresses = ["192.0.2.1", "2001:db8::1"]',
    ),
    "direct-source-without-address": (
        "direct.source[0].address",
        "each table of this list needs address",
        FQDN + '[[direct.source]]\nhelo = "mx.example.org"',
    ),
    "direct-source-is-one-table": (
        "direct.source",
        "[[direct.source]]",
        FQDN + '[direct.source]\naddress = "192.0.2.1"',
    ),
    "direct-source-unknown-key": (
        "direct.source[0].adress",
        'did you mean "address"?',
        FQDN + '[[direct.source]]\nadress = "192.0.2.1"\naddress = "192.0.2.1"',
    ),
    "direct-source-helo": (
        "direct.source[0].helo",
        "name",
        FQDN + '[[direct.source]]\naddress = "192.0.2.1"\nhelo = "mx"',
    ),
    "direct-source-senders": (
        "direct.source[0].senders[0]",
        "a sender",
        FQDN + '[[direct.source]]\naddress = "192.0.2.1"\nsenders = ["a b"]',
    ),
    "direct-source-for-nobody-else": (
        "direct.source",
        "one without senders",
        FQDN + '[[direct.source]]\naddress = "192.0.2.1"\nsenders = ["example.org"]',
    ),
    "direct-source-twice": (
        "direct.source[1].address",
        "direct.source[0] has this address",
        FQDN + '[[direct.source]]\naddress = "2001:db8::1"\n'
        '[[direct.source]]\naddress = "2001:DB8::0:1"',
    ),
    "direct-source-family": (
        "direct.source[0].address",
        "direct.families leaves out",
        FQDN + '[direct]\nfamilies = ["ipv6"]\n[[direct.source]]\naddress = "192.0.2.1"',
    ),
    "direct-source-in-both-forms": (
        "direct.source_addresses",
        "the short form",
        FQDN + '[direct]\nsource_addresses = ["192.0.2.1"]\n'
        '[[direct.source]]\naddress = "192.0.2.2"',
    ),
    "direct-warm-up-of-nothing": (
        "direct.warm_up",
        "192.0.2.9 is no source",
        FQDN + '[direct]\nsource_addresses = ["192.0.2.1"]\nwarm_up = {"192.0.2.9" = 2026-12-01}',
    ),
    "direct-warm-up-day": (
        'direct.warm_up."192.0.2.1"',
        "a day such as",
        FQDN + '[direct]\nsource_addresses = ["192.0.2.1"]\nwarm_up = {"192.0.2.1" = "soon"}',
    ),
    "direct-networks": (
        "direct.allow_networks[0]",
        "bits set behind the prefix",
        FQDN + '[direct]\nallow_networks = ["10.0.0.1/8"]',
    ),
    "direct-connections": (
        "direct.connections_per_destination",
        "from 1",
        FQDN + "[direct]\nconnections_per_destination = 0",
    ),
    "direct-rate": (
        "direct.messages_per_minute",
        "from 0 to 100000",
        FQDN + "[direct]\nmessages_per_minute = -1",
    ),
    "routes-list": ("routes", "a table", FQDN + "routes = []"),
    "routes-word": (
        'routes."example.org"',
        '"smarthost:NAME", "direct", "hold"',
        FQDN + '[routes]\n"example.org" = "drop"',
    ),
    "routes-unquoted": (
        "routes.example",
        '"smarthost:NAME", "direct", "hold"',
        FQDN + '[routes]\nexample = "mail.example.org"',
    ),
    "routes-no-such-smarthost": (
        'routes."a.example"',
        'there is no [smarthosts.newsleter]; did you mean "newsletter"?',
        FQDN + NEWSLETTER + '[routes]\n"a.example" = "smarthost:newsleter"',
    ),
    "login-no-such-smarthost": (
        "logins.shop.smarthost",
        "there is no [smarthosts.bulk]",
        FQDN + '[logins.shop]\nsmarthost = "bulk"',
    ),
    "listener-no-such-smarthost": (
        "listen[0].smarthost",
        "there is no [smarthosts.bulk]",
        FQDN + '[[listen]]\nsmarthost = "bulk"',
    ),
    "sender-no-such-smarthost": (
        'senders."a.example".smarthost',
        "there is no [smarthosts.bulk]",
        FQDN + '[senders."a.example"]\nsmarthost = "bulk"',
    ),
    "login-name": ('logins."a b"', "without blanks", FQDN + '[logins."a b"]'),
    "login-key": (
        "logins.shop.smarthosts",
        'did you mean "smarthost"?',
        FQDN + '[logins.shop]\nsmarthosts = "x"',
    ),
    "sender-pattern": (
        'senders."a@b@c d"',
        "expected a sender as key",
        FQDN + '[senders."a@b@c d"]',
    ),
    "sender-pattern-star": ('senders."a.*"', "expected a sender as key", FQDN + '[senders."a.*"]'),
    "sender-empty": ('senders.""', '"<>" for the null', FQDN + '[senders.""]'),
    "sender-unquoted": (
        "senders.example.org",
        "unknown key",
        FQDN + "[senders.example.org]",
    ),
    "allowed-sender": (
        "listen[0].allowed_senders[1]",
        "expected a sender: ",
        FQDN + '[[listen]]\nallowed_senders = ["a@b.example", "@b.example"]',
    ),
    "complaints-without-paths": (
        "bounces.complaints",
        "needs bounces.verp_domain",
        FQDN + '[bounces]\ncomplaints = ["fbl@example.org"]',
    ),
    "complained-alone": (
        "bounces.refuse_complained",
        "needs refuse_suppressed = true",
        FQDN + "[bounces]\nrefuse_complained = true",
    ),
    "tlsrpt-send": ("tlsrpt.send", '"failures"', FQDN + '[tlsrpt]\nsend = "some"'),
    "tlsrpt-contact": ("tlsrpt.contact", "an address", FQDN + '[tlsrpt]\ncontact = "postmaster"'),
    "tlsrpt-contact-utf8": (
        "tlsrpt.contact",
        "of ASCII characters",
        FQDN + '[tlsrpt]\ncontact = "bj\u00f6rn@example.org"',
    ),
    "tlsrpt-contact-unsigned": (
        "tlsrpt.contact",
        "needs a [[dkim]] table of its domain",
        FQDN + '[tlsrpt]\ncontact = "tls@example.org"',
    ),
    "cut-through": (
        "listen[0].cut_through",
        'expected a duration from 1s to 60s, or "off"',
        FQDN + '[[listen]]\ncut_through = "61s"',
    ),
    "lenient": (
        "listen[0].lenient[0]",
        "bare_lf",
        FQDN + '[[listen]]\nlenient = ["everything"]',
    ),
    "allowed-from-null": (
        "logins.shop.allowed_from[0]",
        "expected an address of From",
        FQDN + '[logins.shop]\nallowed_from = ["<>"]',
    ),
    "allowed-from": (
        'networks."10.0.0.0/8".allowed_from[0]',
        "expected an address of From",
        FQDN + '[networks."10.0.0.0/8"]\nallowed_from = ["a b"]',
    ),
    "network-key": ('networks."10.0.0.1/8"', "10.0.0.0/8", FQDN + '[networks."10.0.0.1/8"]'),
    "network-twice": (
        'networks."10.0.0.1/32"',
        'the same network as networks."10.0.0.1"',
        FQDN + '[networks."10.0.0.1"]\n[networks."10.0.0.1/32"]',
    ),
    "quota": (
        "logins.shop.messages_per_day",
        "from 1 to",
        FQDN + "[logins.shop]\nmessages_per_day = -1",
    ),
    "quota-zero": (
        "logins.shop.messages_per_day",
        '"off" for no limit',
        FQDN + "[logins.shop]\nmessages_per_day = 0",
    ),
    "rate-zero": (
        "smarthost.messages_per_second",
        '"off" for no limit',
        FQDN + "[smarthost]\nmessages_per_second = 0",
    ),
    "quota-text": (
        'networks."::1".messages_per_minute',
        "whole number",
        FQDN + '[networks."::1"]\nmessages_per_minute = "5/s"',
    ),
    "network-unknown-key": (
        'networks."::1".alowed_from',
        'did you mean "allowed_from"?',
        FQDN + '[networks."::1"]\nalowed_from = []',
    ),
    "sender-behind-its-domain": (
        'senders."A@B.example"',
        'no mail gets here: senders."b.example" before it',
        FQDN + '[senders."b.example"]\n[senders."A@B.example"]',
    ),
    "sender-equal": (
        'senders."B.example"',
        'senders."b.example" before it',
        FQDN + '[senders."b.example"]\n[senders."B.example"]',
    ),
    "sender-behind-a-star": (
        'senders."*.a.b.example"',
        'senders."*.b.example" before it',
        FQDN + '[senders."*.b.example"]\n[senders."*.a.b.example"]',
    ),
    "smarthost-name": ("smarthosts.News", "lower-case letters", FQDN + "[smarthosts.News]"),
    "smarthost-name-port": ("smarthosts.25", "a letter among them", FQDN + "[smarthosts.25]"),
    "smarthost-key": (
        "smarthosts.newsletter.host",
        'did you mean "hosts"?',
        FQDN + "[smarthosts.newsletter]\nhost = 'h:25'",
    ),
    "smarthost-value": (
        "smarthosts.newsletter.hosts[0]",
        "HOST:PORT",
        FQDN + "[smarthosts.newsletter]\nhosts = ['h']",
    ),
    "smarthost-no-table": (
        "smarthosts.newsletter",
        "a table of keys",
        FQDN + "[smarthosts]\nnewsletter = 1",
    ),
    "smarthost-default-twice": (
        "smarthosts.default",
        "[smarthost] is the smarthost of this name already",
        FQDN + '[smarthost]\nhosts = ["h:25"]\n[smarthosts.default]\nhosts = ["i:25"]',
    ),
    "smarthost-loop": (
        "smarthosts.newsletter.hosts[0]",
        "a loop: this is our own listener listen[0]",
        FQDN + '[smarthosts.newsletter]\nhosts = ["localhost:2525"]',
    ),
    "smarthost-port-465": (
        "smarthosts.newsletter.hosts[0]",
        'port 465 needs tls = "implicit"',
        FQDN + '[smarthosts.newsletter]\nhosts = ["h:465"]',
    ),
    "smarthost-login-without-a-secret": (
        "smarthosts.newsletter.password_file",
        "is missing",
        FQDN + NEWSLETTER + 'username = "u"\ntls = "verify"',
    ),
    "smarthost-certificate-without-key": (
        "smarthosts.newsletter.key_file",
        "is missing; smarthosts.newsletter.certificate is of no use without it",
        FQDN + NEWSLETTER + 'certificate = "c.pem"',
    ),
    "smarthost-key-without-certificate": (
        "smarthost.certificate",
        "is missing; smarthost.key_file is of no use without it",
        FQDN + '[smarthost]\nkey_file = "k.pem"',
    ),
    "smarthost-ehlo": ("smarthost.ehlo", "expected", FQDN + '[smarthost]\nehlo = "a b"'),
    "smarthost-source": (
        "smarthost.source_address",
        "expected an IP address",
        FQDN + '[smarthost]\nsource_address = "host"',
    ),
    "smarthost-source-family": (
        "smarthost.hosts[0]",
        "cannot be reached from source_address",
        FQDN + '[smarthost]\nhosts = ["192.0.2.1:25"]\nsource_address = "2001:db8::1"',
    ),
    "routes-number": (
        'routes."a.example"',
        "text in quotes",
        FQDN + '[routes]\n"b.example" = "hold"\n"a.example" = 25',
    ),
    "routes-dotted": ("routes.example", "text in quotes", FQDN + "[routes]\nexample.org = 'hold'"),
    "routes-star-alone": ('routes."*"', '"*.example.org"', FQDN + '[routes]\n"*" = "hold"'),
    "routes-star-inside": (
        'routes."a.*.example"',
        '"*.example.org"',
        FQDN + '[routes]\n"a.*.example" = "hold"',
    ),
    "routes-address": (
        'routes."a@example.org"',
        "a domain as key",
        FQDN + '[routes]\n"a@example.org" = "hold"',
    ),
    "routes-loop": (
        'routes."example.org"',
        "our own listener listen[0]",
        FQDN + '[routes]\n"example.org" = "localhost:2525"',
    ),
    "routes-wildcard": (
        'routes."example.org"',
        '"HOST:PORT"',
        FQDN + '[routes]\n"example.org" = "0.0.0.0:25"',
    ),
    "test-mail-domain": (
        "test_mail.recipients[0]",
        "user@example.org",
        FQDN + '[test_mail]\nrecipients = ["example.org"]',
    ),
    "test-mail-text": (
        "test_mail.recipients",
        "a list",
        FQDN + '[test_mail]\nrecipients = "a@example.org"',
    ),
    "redirect-domain": ("redirect.to", "an address", FQDN + '[redirect]\nto = "example.org"'),
    "redirect-null": ("redirect.to", "an address", FQDN + '[redirect]\nto = "<>"'),
    "redirect-allow": (
        "redirect.allow[1]",
        "an address or a domain",
        FQDN + '[redirect]\nto = "a@example.org"\nallow = ["example.org", "*.example.org"]',
    ),
    "redirect-allow-address": (
        "redirect.allow[0]",
        "an address",
        FQDN + '[redirect]\nto = "a@example.org"\nallow = ["a b@example.org"]',
    ),
    "redirect-allow-alone": (
        "redirect.allow",
        "needs redirect.to",
        FQDN + '[redirect]\nallow = ["example.org"]',
    ),
    "nameserver-name": (
        "dns.nameservers[0]",
        '"IP" or "IP:PORT"',
        FQDN + '[dns]\nnameservers = ["dns.example.org"]',
    ),
    "nameserver-name-and-port": (
        "dns.nameservers[1]",
        '"IP" or "IP:PORT"',
        FQDN + '[dns]\nnameservers = ["192.0.2.53", "dns.example.org:53"]',
    ),
    "nameserver-bracket": (
        "dns.nameservers[0]",
        '"IP" or "IP:PORT"',
        FQDN + '[dns]\nnameservers = ["[::1"]',
    ),
    "trusted-name": (
        "dns.trusted[0]",
        "an IP address",
        FQDN + '[dns]\ntrusted = ["dns.example.org"]',
    ),
    "verp-address": (
        "bounces.verp_domain",
        "a domain",
        FQDN + '[bounces]\nverp_domain = "b@example.org"',
    ),
    "content-two-checkers": (
        "content.spamd",
        "not beside content.rspamd",
        FQDN + '[content]\nrspamd = "http://127.0.0.1:1"\nspamd = "127.0.0.1:2"',
    ),
    "content-https": (
        "content.rspamd",
        '"http://HOST:PORT"',
        FQDN + '[content]\nrspamd = "https://127.0.0.1:11333"',
    ),
    "content-path": (
        "content.rspamd",
        '"http://HOST:PORT"',
        FQDN + '[content]\nrspamd = "http://127.0.0.1:11333/checkv2"',
    ),
    "content-no-scheme": (
        "content.rspamd",
        '"http://HOST:PORT"',
        FQDN + '[content]\nrspamd = "127.0.0.1:11333"',
    ),
    "content-spamd-url": (
        "content.spamd",
        '"HOST:PORT"',
        FQDN + '[content]\nspamd = "http://127.0.0.1:783"',
    ),
    "content-elsewhere": (
        "content.spamd",
        "content.allow_networks",
        FQDN + '[content]\nspamd = "192.0.2.7:783"',
    ),
    "content-other-network": (
        "content.rspamd",
        "content.allow_networks",
        FQDN + '[content]\nrspamd = "http://192.0.2.7:1"\nallow_networks = ["198.51.100.0/24"]',
    ),
    "content-name-elsewhere": (
        "content.rspamd",
        "content.allow_networks",
        FQDN + '[content]\nrspamd = "http://rspamd.example.org:1"',
    ),
    "content-score-in-words": (
        "content.tag",
        'such as 6.0, or "off"',
        FQDN + '[content]\nspamd = "127.0.0.1:783"\ntag = "6"',
    ),
    "content-score-true": (
        "content.hold",
        'such as 6.0, or "off"',
        FQDN + '[content]\nspamd = "127.0.0.1:783"\nhold = true',
    ),
    "content-score-nan": (
        "content.hold",
        'such as 6.0, or "off"',
        FQDN + '[content]\nspamd = "127.0.0.1:783"\nhold = nan',
    ),
    "content-no-checker": (
        "content.tag",
        "needs content.rspamd or content.spamd",
        FQDN + "[content]\ntag = 6",
    ),
    "content-order": (
        "content.refuse",
        "more than content.tag, which is 6",
        FQDN + '[content]\nspamd = "127.0.0.1:783"\ntag = 6\nrefuse = 6.0',
    ),
    "content-down": (
        "content.when_down",
        "needs content.tag, hold or refuse",
        FQDN + '[content]\nspamd = "127.0.0.1:783"\nwhen_down = "defer"',
    ),
    "content-down-word": (
        "content.when_down",
        'one of "accept", "defer"',
        FQDN + '[content]\nwhen_down = "wait"',
    ),
    "metrics-no-port": (
        "metrics.address",
        '"HOST:PORT"',
        FQDN + '[metrics]\naddress = "localhost"',
    ),
    "metrics-port-0": (
        "metrics.address",
        "a port from 1 to 65535",
        FQDN + '[metrics]\naddress = "127.0.0.1:0"',
    ),
    "metrics-number": ("metrics.address", "text in quotes", FQDN + "[metrics]\naddress = 9000"),
    "metrics-url": (
        "metrics.address",
        '"HOST:PORT"',
        FQDN + '[metrics]\naddress = "http://127.0.0.1:9000"',
    ),
    "metrics-on-a-listener": (
        "metrics.address",
        "listen[0] has this address already",
        FQDN + '[metrics]\naddress = "127.0.0.1:2525"',
    ),
    "console-outside": (
        "console.address",
        "a loopback address",
        FQDN + '[console]\naddress = "0.0.0.0:8025"',
    ),
    "alerts-to-no-address": (
        "console.alerts_to[1]",
        "an address such as user@example.org",
        FQDN + '[console]\nalerts_to = ["ops@example.org", "root"]',
    ),
    "alerts-to-a-text": (
        "console.alerts_to",
        "a list",
        FQDN + '[console]\nalerts_to = "ops@example.org"',
    ),
    "console-on-a-listener": (
        "console.address",
        "listen[0] has this address already",
        FQDN + '[console]\naddress = "127.0.0.1:2525"',
    ),
    "console-on-the-metrics": (
        "console.address",
        "metrics.address has this address already",
        FQDN + '[metrics]\naddress = "127.0.0.1:8025"',
    ),
    "listener-on-the-control-socket": (
        "listen[0].address",
        "expected another path: the control socket is there",
        FQDN + '[[listen]]\naddress = "unix:/run/relayd/control.sock"',
    ),
    "console-on-its-own-listener": (
        "console.address",
        "expected another path: the console hands mail over there",
        FQDN + '[console]\naddress = "unix:/r/two.sock.smtp"\n[control]\nsocket = "/r/two.sock"',
    ),
    "console-host-with-port": (
        "console.names[0]",
        "without a port",
        FQDN + '[console]\nnames = ["console.example.org:443"]',
    ),
    "console-proxy-header": (
        "console.proxy.header",
        "the name of an HTTP header",
        FQDN + '[console.proxy]\nheader = "Remote User"',
    ),
    "console-proxy-header-taken": (
        "console.proxy.header",
        "has no other use",
        FQDN + '[console.proxy]\nheader = "Host"',
    ),
    "console-proxy-one-header": (
        "console.proxy.secret_header",
        "another header than that of the name",
        FQDN
        + '[console]\naddress = "unix:/r/c.sock"\n[console.proxy]\nheader = "A"\nsecret_header = "a"',
    ),
    "console-proxy-without-header": (
        "console.proxy.networks",
        "of no use without console.proxy.header",
        FQDN + '[console.proxy]\nnetworks = ["127.0.0.1"]',
    ),
    "console-proxy-loopback-alone": (
        "console.proxy.secret_file",
        "alone proves nothing",
        FQDN + '[console.proxy]\nheader = "Remote-User"\nnetworks = ["127.0.0.0/8"]',
    ),
    "console-proxy-from-anywhere": (
        "console.proxy.networks",
        "where does the proxy connect from",
        FQDN + '[console.proxy]\nheader = "Remote-User"',
    ),
    "console-oidc-issuer": (
        "console.oidc.issuer",
        "expected a URL such as https://auth.example.org: it does not begin with https://",
        FQDN + '[console.oidc]\nissuer = "http://auth.example.org"',
    ),
    "console-oidc-issuer-with-query": (
        "console.oidc.issuer",
        "without a query",
        FQDN + '[console.oidc]\nissuer = "https://auth.example.org/?a=b"',
    ),
    "console-oidc-without-issuer": (
        "console.oidc.viewers",
        "of no use without console.oidc.issuer",
        FQDN + '[console.oidc]\nviewers = ["staff"]',
    ),
    "console-oidc-without-client": (
        "console.oidc.client_id",
        "the provider gives it",
        FQDN + '[console.oidc]\nissuer = "https://auth.example.org"\nviewers = ["staff"]',
    ),
    "console-oidc-for-nobody": (
        "console.oidc.viewers",
        "nobody may log in",
        FQDN + '[console.oidc]\nissuer = "https://auth.example.org"\nclient_id = "relayd"',
    ),
    "console-oidc-scope": (
        "console.oidc.scopes[0]",
        "expected one scope",
        FQDN + '[console.oidc]\nscopes = ["profile email"]',
    ),
    "console-oidc-claim": (
        "console.oidc.role_claim",
        "the name of a claim",
        FQDN + '[console.oidc]\nrole_claim = ""',
    ),
    "content-timeout": (
        "content.timeout",
        "at most 4m",
        FQDN + '[content]\ntimeout = "4m1s"',
    ),
    "dns-timeout": ("dns.timeout", "a duration", FQDN + "[dns]\ntimeout = 20"),
}
