"""Who is at the other end of a unix socket, by the kernel's word. Source: unix(7), SO_PEERCRED."""

import socket
import struct

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


def credentials(connection: socket.socket) -> tuple[int, int]:
    """Return uid and gid of the peer. Raises OSError."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, gid = _CREDENTIALS.unpack(raw)
    return uid, gid
