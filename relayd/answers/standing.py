"""In one line, how the relay is set up and whether it runs: what `check` and `doctor` begin with."""

from dataclasses import dataclass

from relayd.policy.doctor.daemon import DaemonFacts, DaemonState
from relayd.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    mode: str  # smarthost or direct
    redirect: str  # the address that all mail goes to; empty: none
    daemon: DaemonFacts


def standing_of(settings: Settings, daemon: DaemonFacts) -> Standing:
    routes = settings.routes
    return Standing(
        mode="direct" if routes.use_remote_smtp else "smarthost",
        redirect="" if routes.redirect_to is None else str(routes.redirect_to),
        daemon=daemon,
    )


def in_one_line(standing: Standing) -> str:
    return ", ".join(f"{name}: {value}" for name, value in _parts(standing).items())


def of_mistaken(daemon: DaemonFacts) -> str:
    """Return the line where the settings are wrong, so that nothing is known of the next start."""
    why = {
        DaemonState.STALE: " (it keeps the settings that it has)",
        DaemonState.UNKNOWN: f" ({daemon.problem})",
    }.get(daemon.state, "")
    return f"settings: wrong, daemon: {daemon.state}{why}, version: {daemon.own_version}"


def fields(standing: Standing) -> dict[str, object]:
    """Return it as JSON fields; what is not known is None."""
    daemon = standing.daemon
    return {
        "mode": standing.mode,
        "redirect": standing.redirect or None,
        "daemon": daemon.state,
        "daemon_version": daemon.version or None,
        "version": daemon.own_version,
    }


def _parts(standing: Standing) -> dict[str, str]:
    daemon = standing.daemon
    why = ""
    if daemon.is_other_version:
        why = f" (it is version {daemon.version}: systemctl restart relayd)"
    elif daemon.state is DaemonState.STALE and daemon.variables:
        why = (
            f" (it has {', '.join(daemon.variables)} in its environment, and this command has not)"
        )
    elif daemon.state is DaemonState.STALE:
        why = " (it runs with other settings: systemctl reload relayd)"
    elif daemon.state is DaemonState.UNKNOWN:
        why = f" ({daemon.problem})"
    return {
        "mode": standing.mode,
        "redirect": standing.redirect or "none",
        "daemon": f"{daemon.state}{why}",
        "version": daemon.own_version,
    }
