"""The name servers of this machine, as `/etc/resolv.conf` names them."""

from ipaddress import ip_address
from pathlib import Path

from relayd.settings import HostPort

_PORT = 53


def system_nameservers(path: Path = Path("/etc/resolv.conf")) -> tuple[HostPort, ...]:
    """Return the name servers that the system uses; none if it names none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ()
    fields = [line.split() for line in lines]
    hosts = [each[1] for each in fields if len(each) > 1 and each[0] == "nameserver"]
    return tuple(HostPort(host=host, port=_PORT) for host in hosts if _is_ip(host))


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
