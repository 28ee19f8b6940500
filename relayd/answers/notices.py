"""What must be seen without looking for it: each notice in force, with what to do about it.

Shown above the tables of `relayd status`, `queue list` and `top`. What the daemon, the store and the settings tell.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from relayd.answers.switches import NONE_ON, Switches
from relayd.mail.words import instant
from relayd.ports.view import Metric, QueueView

_MOST = 3  # of one kind; of more it is said how many they are


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One line for people."""

    kind: str  # daemon, disk, store, login, redirect, soft_bounce; paused: a pause rule; destination: left alone for now; pace: slowed down
    text: str
    remedy: str  # what to do or to run

    def __str__(self) -> str:
        return f"{self.text} ({self.remedy})"


STOPPED = Notice(
    kind="daemon",
    text="the daemon is stopped: nobody takes mail, and nothing is delivered",
    remedy="systemctl start relayd",
)
SILENT = Notice(
    kind="daemon",
    text="the daemon does not answer",
    remedy="systemctl status relayd; journalctl -u relayd",
)
DISK_FULL = Notice(
    kind="disk",
    text="the disk of the queue is full: no new mail is taken",
    remedy="make room there; relayd store compact gives back what old history took",
)
STORE_FAILS = Notice(
    kind="store",
    text="the store fails: results or new mail cannot be written",
    remedy="journalctl -u relayd -p err says why; look at the disk and its file system",
)
SOFT_BOUNCE = Notice(
    kind="soft_bounce",
    text="soft_bounce is on: mail that would bounce is deferred, and no sender hears of it",
    remedy="relayd config set soft_bounce false",
)


def notices_of(
    view: QueueView,
    *,
    at: datetime,
    switches: Switches = NONE_ON,
    daemon: Iterable[Notice] = (),
    zone: tzinfo | None = UTC,
) -> Sequence[Notice]:
    """Return the notices in force at that instant, the gravest first. May raise StoreUnavailable.

    `daemon` are those of the daemon: `of_daemon`, or STOPPED. Times are those of `zone`, None being this machine's.
    """
    left_alone = list(_destinations(view, at, zone))
    return [
        *daemon,
        *(each for each in left_alone if each.kind == "login"),
        *_switched(switches),
        *_pauses(view, at, zone),
        *(each for each in left_alone if each.kind != "login"),
        *_paces(view, at),
    ]


def of_daemon(metrics: Iterable[Metric]) -> list[Notice]:
    """Return what the numbers of a running daemon say."""
    told = {metric.name for metric in metrics if metric.value}
    found = [DISK_FULL] if "relayd_disk_full" in told else []
    if told & {"relayd_store_failing", "relayd_deliveries_paused"}:
        found.append(STORE_FAILS)
    return found


def _switched(switches: Switches) -> Iterator[Notice]:
    if switches.redirect:
        yield Notice(
            kind="redirect",
            text=f"a redirect is in force: mail goes to {switches.redirect}, not to its recipients",
            remedy="relayd config unset redirect.allow redirect.to",
        )
    if switches.soft_bounce:
        yield SOFT_BOUNCE


def _pauses(view: QueueView, at: datetime, zone: tzinfo | None) -> Iterator[Notice]:
    rules = [rule for rule in view.pause_rules() if not rule.is_over(at)]
    if not rules:
        return
    from relayd.answers.pauses import in_words, sides_in_words  # noqa: PLC0415 -- mostly nothing is

    for rule in rules[:_MOST]:
        yield Notice(
            kind="paused",
            text=f"paused: {sides_in_words(rule)} of {rule.named}, {in_words(rule, zone)}",
            remedy=f"relayd resume {rule.number}",
        )
    if len(rules) > _MOST:
        more = len(rules) - _MOST
        yield Notice(kind="paused", text=f"paused: {more} more", remedy="relayd pauses")


def _paces(view: QueueView, at: datetime) -> Iterator[Notice]:
    """Accounts whose server has said that we are too fast."""
    paces = view.permits.paces()
    if not paces:
        return
    from relayd.policy.accounts.pace import is_over  # noqa: PLC0415 -- mostly there is none
    from relayd.policy.delivery.route import smarthost_of, table_of  # noqa: PLC0415 -- as above

    for each in paces:
        if is_over(each.pace, at.timestamp()):
            continue
        name = smarthost_of(each.account)
        key, rate = _key_and_rate(each.pace.rate)
        remedy = (
            f"relayd config set {table_of(name)}.{key}={rate} keeps within its limit"
            if name
            else "nothing to do"
        )
        yield Notice(
            kind="pace",
            text=f"destination {each.account} is given about {rate} messages a {key.rpartition('_')[2]},"
            " since its server said that we were too fast",
            remedy=remedy,
        )


def _key_and_rate(per_second: float) -> tuple[str, int]:
    """Return the setting that says such a rate in whole numbers, and which."""
    for key, seconds in (("second", 1), ("minute", 60)):
        if per_second * seconds >= 1:
            return f"messages_per_{key}", int(per_second * seconds)
    return "messages_per_hour", max(1, int(per_second * 3600))


def _destinations(view: QueueView, at: datetime, zone: tzinfo | None) -> Iterator[Notice]:
    paused = view.paused_destinations(at, limit=_MOST + 1)
    for each in paused[:_MOST]:
        until = instant(each.until, zone)
        why = f": {each.why}" if each.why else ""
        remedy = "relayd queue expedite tries now"
        if each.is_login_refused:
            from relayd.policy.delivery.route import DEFAULT, smarthost_of, table_of  # noqa: PLC0415 -- mostly none is refused

            table = table_of(smarthost_of(each.destination) or DEFAULT)
            remedy = f"set {table}.username and its password right; {remedy}"
        yield Notice(
            kind="login" if each.is_login_refused else "destination",
            text=f"destination {each.destination} is left alone until {until}{why}",
            remedy=remedy,
        )
    if len(paused) > _MOST:
        yield Notice(
            kind="destination", text="more destinations are left alone", remedy="relayd top"
        )
