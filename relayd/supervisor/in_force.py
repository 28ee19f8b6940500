"""What the log says of settings that come into force: where relayd listens, and what does not go as they want it."""

from collections.abc import Iterable

import structlog

from relayd.net.dns.trusted import why_no_dane
from relayd.settings import LimitSettings, Settings
from relayd.settings.dkim import DkimKeySettings
from relayd.worker.descriptors import descriptors, shares_of

_NO_REPORTS = (
    "TLS reports have to be signed, and no [[dkim]] table is of the domain of fqdn:"
    ' add one, or set tlsrpt.send = "off"'
)

log = structlog.get_logger()


def tell_of(settings: Settings, *, unused: Iterable[str]) -> None:
    """Log it; `unused` are the names that systemd passed and no listener asks for."""
    for listener in settings.listeners:
        log.info("listening", address=listener.address)
    if settings.metrics is not None:
        log.info("metrics_served", address=str(settings.metrics))
    for warning in settings.warnings:
        log.warning("settings_warning", reason=warning)
    if (why := why_no_dane(settings)) is not None:
        log.warning("dane_off", fault="local", reason=why)
    if settings.tlsrpt.is_unsigned and settings.routes.may_be_direct:
        log.info("tls_reports_off", reason=_NO_REPORTS)
    _tell_of_keys(settings.dkim)
    for address in unused:
        log.warning("socket_unused", address=address)
    _tell_of_bounds(settings.limits)


def _tell_of_keys(keys: Iterable[DkimKeySettings]) -> None:
    for each in keys:
        if each.problem:
            log.error(
                "dkim_key_unusable",
                fault="local",
                key=each.name,
                reason=each.problem,
                signs_on=not each.is_unusable,  # as it was read before
            )


def _tell_of_bounds(limits: LimitSettings) -> None:
    """Say how many connections a worker may have, and if that is less than the settings say."""
    shares = shares_of(limits)
    (log.info if shares.clients >= limits.connections else log.warning)(
        "connections_bounded",
        descriptors=descriptors(),
        clients=shares.clients,
        servers=shares.servers,
    )
