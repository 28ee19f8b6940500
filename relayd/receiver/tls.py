"""TLS towards clients: the certificate, and noticing that it was renewed.

The files are looked at again when a handshake begins and the last look was a while ago, so a renewed
certificate needs no reload and no session ends for it (A-74). Files that do not fit each other, or
cannot be read, leave the certificate in use.

Source: RFC 3207.
"""

import math
import ssl
from pathlib import Path

import structlog

from relayd.certificate import load_certificate
from relayd.ports.outward import Clock
from relayd.settings import CertificateSettings

_LOOK_AGAIN = 30.0  # seconds

log = structlog.get_logger()


class ServerTls:
    """The one certificate of a worker, loaded."""

    def __init__(self, settings: CertificateSettings, clock: Clock) -> None:
        """Load the certificate. Raises OSError, ssl.SSLError among them."""
        self._settings = settings
        self._clock = clock
        self._looked_at = clock.monotonic()
        self._seen = self._stamps()
        self._context = load_certificate(settings)

    def context(self) -> ssl.SSLContext:
        """Return what the next handshake uses."""
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_AGAIN:
            self._looked_at = now
            self._look()
        return self._context

    def look_again(self) -> None:
        """Look with the next handshake, however short ago the last look was."""
        self._looked_at = -math.inf

    def _look(self) -> None:
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return
            self._context = load_certificate(self._settings)
        except OSError as error:
            log.warning("certificate_kept", fault="local", reason=str(error))
        else:
            self._seen = stamps
            log.info("certificate_loaded", certificate=self._settings.certificate)

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        found = [Path(name).stat() for name in (self._settings.certificate, self._settings.key)]
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)
