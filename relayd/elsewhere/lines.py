"""Files of settings, read: their text, their logical lines, aliases, networks, host names with ports.

Every reader notes what it cannot use, and goes on.
"""

import os
import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from relayd.elsewhere.found import Found
from relayd.policy.delivery.route import HostPort

_Network = IPv4Network | IPv6Network
_LARGEST = 4 << 20  # octets of a file
_DIGITS = 15
_REPLACED = "\ufffd"
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_SERVICES = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465}  # RFC 6335
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_TARGET = re.compile(r'"(?:[^"\\]|\\.)*"|[^,]+')
_NAME = re.compile(r"[A-Za-z0-9_]+(?:[.+-]+[A-Za-z0-9_]+)*")


def main_text(path: Path, found: Found) -> str:
    """Return the text of the file that says where mail goes. Raises OSError: nothing stands for it."""
    octets = _octets(path)
    if len(octets) > _LARGEST:
        found.refuse(str(path), f"it has more than {_LARGEST >> 20} MiB")
    if b"\0" in octets:
        found.refuse(str(path), "it is no text")
    text = octets[:_LARGEST].decode("utf-8-sig", errors="replace")
    if _REPLACED in text:
        found.note(str(path), "it is not UTF-8: where it has other characters, correct ours")
    return text


def text_of(path: Path, found: Found, *, is_needed: bool = True) -> str:
    """Return the text of a file; empty, with a note, if there is none. A missing one may be no news.

    Raises PermissionError: half of the settings are others.
    """
    try:
        return main_text(path, found)
    except PermissionError:
        raise
    except FileNotFoundError:
        if is_needed:
            found.note(str(path), "there is no such file; what it says is missing here")
    except OSError as error:
        found.note(str(path), f"it cannot be read ({error.strerror}); what it says is missing here")
    return ""


def _octets(path: Path) -> bytes:
    """Return what a file has, one octet more than we read at most. A pipe that nobody writes to is empty."""

    def at_once(name: str, flags: int) -> int:
        descriptor = os.open(name, flags | os.O_NONBLOCK)
        os.set_blocking(descriptor, True)  # for opening alone; who writes may take a while
        return descriptor

    with open(path, "rb", opener=at_once) as file:
        return file.read(_LARGEST + 1)


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
    number = default if not port else _SERVICES.get(port, whole(port))
    if not 0 < number < 65536 or not (_is_address(host) or _HOST.fullmatch(host)):
        return None
    return HostPort(host=host, port=number)


def whole(text: str) -> int:
    """Read a number; 0 if it is none, or longer than any that is meant."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else 0


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
    kept: list[_Network] = []
    barred: list[_Network] = []
    for word in words:
        is_barred, plain = word.startswith("!"), re.sub(r"[!\[\]]", "", word)
        try:
            network = ip_network(plain, strict=False)
        except ValueError:
            if is_barred:
                found.note(place, f"{word[:60]} cannot be read: so nobody outside may send")
                return []
            found.note(
                place, f"{word[:60]} is no network in numbers: write it to listen.networks as one"
            )
            continue
        if is_barred:
            barred.append(network)
        elif network.prefixlen == 0:
            found.note(
                place, f"{network} would let everybody send: name your networks in listen.networks"
            )
        elif not network.is_loopback and network not in kept:
            kept.append(network)
    for each in barred:
        kept = [part for network in kept for part in _without(network, each)]
    return [str(each) for each in kept]


def _without(network: _Network, barred: _Network) -> list[_Network]:
    """Return what remains of a network."""
    if network.version != barred.version or not network.overlaps(barred):
        return [network]
    if barred.prefixlen <= network.prefixlen:
        return []
    return sorted(network.address_exclude(barred))  # type: ignore[arg-type]  # of one version


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
