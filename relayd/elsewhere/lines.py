"""Files of settings, read: their text, their logical lines, aliases, networks, host names with ports.

Every reader notes what it cannot use, and goes on.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

from relayd.elsewhere.found import Found
from relayd.policy.delivery.route import HostPort

_LARGEST = 4 << 20  # octets of a file
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_SERVICES = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465}  # RFC 6335
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_TARGET = re.compile(r'"(?:[^"\\]|\\.)*"|[^,]+')
_NAME = re.compile(r"[A-Za-z0-9_]+(?:[.+-]+[A-Za-z0-9_]+)*")


def text_of(path: Path, found: Found, *, is_needed: bool = True) -> str:
    """Return the text of a file; empty, with a note, if it cannot be read. A missing one may be no news."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode(errors="replace")
    except FileNotFoundError:
        if is_needed:
            found.note(str(path), "there is no such file; what it says is missing here")
    except OSError as error:
        found.note(str(path), f"it cannot be read ({error.strerror}): run this as root")
    return ""


def first_line(path: Path, found: Found) -> str:
    """Return the first line of a file that need not exist, without blanks around it."""
    lines = text_of(path, found, is_needed=False).splitlines()
    return lines[0].strip() if lines else ""


def logical_lines(text: str) -> Iterator[str]:
    """Give the lines of a Postfix file: one that begins with a blank goes on; comments are whole lines (postconf(5))."""
    whole = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            whole += f" {line.strip()}"
            continue
        if whole:
            yield whole
        whole = line.strip()
    if whole:
        yield whole


def host_port(text: str, default: int) -> HostPort | None:
    """Read HOST, HOST:PORT, [HOST]:SERVICE and their like; None if it is none of them."""
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::+(\w+))?", text)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
    elif _is_address(text):
        host, port = text, None
    else:
        host, _, port = text.partition(":")
    host = host.removeprefix("IPv6:").removeprefix("ipv6:").rstrip(".").lower()
    number = default if not port else _SERVICES.get(port, int(port) if port.isdecimal() else 0)
    if not 0 < number < 65536 or not (_is_address(host) or _HOST.fullmatch(host)):
        return None
    return HostPort(host=host, port=number)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_mailbox(text: str) -> bool:
    """Tell whether a text is one plain address with a domain."""
    return _ADDRESS.fullmatch(text) is not None


def is_domain(text: str) -> bool:
    return "." in text and _HOST.fullmatch(text) is not None and not _is_address(text)


def networks_in(words: list[str], place: str, found: Found) -> list[str]:
    """Return networks other than this machine; everybody is not let in."""
    kept: list[str] = []
    for word in words:
        plain = word.replace("[", "").replace("]", "")
        try:
            network = ip_network(plain, strict=False)
        except ValueError:
            found.note(
                place, f"{word[:60]} is no network in numbers: write it to listen.networks as one"
            )
            continue
        if network.is_loopback:
            continue
        if network.prefixlen == 0:
            found.note(
                place, f"{network} would let everybody send: name your networks in listen.networks"
            )
        elif str(network) not in kept:
            kept.append(str(network))
    return kept


def read_aliases(text: str, place: str, found: Found) -> None:
    """Read `name: value, value` lines (aliases(5)) into the aliases; programs, files and lists get no mail."""
    for line in logical_lines(text):
        name, colon, rest = line.partition(":")
        add_alias(name.strip().strip('"'), _TARGET.findall(rest) if colon else [], place, found)


def add_alias(name: str, targets: list[str], place: str, found: Found) -> None:
    """Note an alias, as far as relayd can have it."""
    where = f"{place}: {name[:60]}"
    if name != "*" and not _NAME.fullmatch(name):
        found.note(
            where, "a name that relayd cannot have: send its mail to an address in the application"
        )
        return
    good = []
    for each in (target.strip().strip('"') for target in targets):
        if is_mailbox(each) or _NAME.fullmatch(each):
            good.append(each)
        elif each:
            kind = (
                "a program"
                if each[0] == "|"
                else "a file"
                if each[0] == "/"
                else "a list"
                if each[0] == ":"
                else "no address"
            )
            found.note(where, f"{kind} gets no mail from relayd: give it an address in [aliases]")
    if good and name.lower() not in {each.lower() for each in found.aliases}:
        found.aliases[name] = good
