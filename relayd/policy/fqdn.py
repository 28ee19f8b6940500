"""Judge a host name before other servers do: one that cannot be this machine's in public DNS.

Looks at the name alone. Whether it leads to this machine and back is a question for the DNS.

Source: RFC 2606, RFC 6761 and RFC 6762 (names set aside); RFC 5321 §4.1.1.1, §4.1.3 (literals).
"""

# What no public DNS will ever know; the last three by custom only.
RESERVED = (
    "localhost",
    "test",
    "example",
    "invalid",
    "local",
    "example.com",
    "example.net",
    "example.org",
    "localdomain",
    "internal",
    "lan",
)


def flaw_of(fqdn: str) -> str:
    """Return what is wrong with a name as EHLO to strangers, as the end of a sentence; "" if nothing."""
    name = fqdn.lower().removesuffix(".")
    last = name.rpartition(".")[2]
    if name.startswith("[") or ":" in name or last.isdecimal():
        return "is an address, no name"
    for reserved in RESERVED:
        if name == reserved or name.endswith(f".{reserved}"):
            return f"ends in {reserved}, which is nobody's in the public DNS"
    if "." not in name:
        return "has one label only"
    return ""
