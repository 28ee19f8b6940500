"""Judge a set-up: facts in, a `Finding` out, with the reason and the remedy in a sentence each.

`relayd.doctor` gathers the facts. What takes several questions to the DNS (`spf`, `dmarc`) asks
through `dns.Dns`, whose answers are values; nothing here knows a socket, a file or a clock.
"""
