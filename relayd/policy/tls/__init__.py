"""What is decided about TLS towards mail hosts: which proof a host owes, and what follows without it.

`sts` reads MTA-STS, `require` says what a host has to show (table A of `docs/tls.md`), `dane` which TLSA record its
certificates fit, and `ladder` what a session does with what TLS gives (table B).
"""
