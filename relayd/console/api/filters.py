"""Which recipients are meant: the filters of `relayd status` by the status log's names, in a query string or as JSON."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from relayd.answers import when
from relayd.console.api.problems import wrong
from relayd.mail.ids import parse_id
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Query, Status

Text = Annotated[str, Field(min_length=1, max_length=1000)]
Texts = Annotated[list[Text] | None, Field(min_length=1, max_length=100)]


class Selector(BaseModel):
    """All that is given must match, each by any of its values. Text compares without case."""

    model_config = ConfigDict(extra="forbid")

    queue_id: Text | None = None
    rcpt: Texts = None
    domain: Annotated[Texts, Field(description="of the recipient")] = None
    from_: Annotated[Texts, Field(alias="from")] = None
    message_id: Annotated[Texts, Field(description="the Message-ID header")] = None
    tag: Texts = None
    status: Annotated[list[Status] | None, Field(min_length=1, max_length=20)] = None
    bounce_class: Annotated[list[BounceClass] | None, Field(min_length=1, max_length=20)] = None
    category: Annotated[list[Category] | None, Field(min_length=1, max_length=50)] = None
    auth_user: Texts = None
    client_ip: Annotated[Texts, Field(description="an address or a network")] = None
    destination: Texts = None
    possible_duplicate: bool = False
    unfinished: Annotated[bool, Field(description="only queued, deferred and held")] = False
    changed_since: Annotated[Text | None, Field(description=f"such as {when.FORMS}")] = None
    since: Annotated[Text | None, Field(description="received then or later")] = None
    until: Annotated[Text | None, Field(description="received before")] = None


def query_of(given: Selector, now: datetime) -> Query:
    """Return the question. Raises Problem."""
    return Query(
        message_id=None if given.queue_id is None else read("queue_id", parse_id, given.queue_id),
        recipient=_texts(given.rcpt, bare_address),
        domain=_texts(given.domain, lambda text: text.removeprefix("@")),
        sender=_texts(given.from_, bare_address),
        message_id_header=_texts(given.message_id, str),
        tag=_texts(given.tag, str),
        status=tuple(given.status or ()),
        bounce_class=tuple(given.bounce_class or ()),
        category=tuple(given.category or ()),
        user=_texts(given.auth_user, str),
        client=_texts(
            given.client_ip,
            lambda text: read("client_ip", lambda each: ip_network(each, strict=False), text),
        ),
        destination=_texts(given.destination, str),
        possible_duplicate=given.possible_duplicate,
        unfinished=given.unfinished,
        changed_since=instant("changed_since", given.changed_since, now),
        since=instant("since", given.since, now),
        until=instant("until", given.until, now, is_end=True),
    )


def instant(name: str, text: str | None, now: datetime, *, is_end: bool = False) -> datetime | None:
    """Read an instant, or how long ago it was; None if it is not given. Raises Problem."""
    if text is None:
        return None
    try:
        return when.parse_instant(text, now, zone=UTC, is_end=is_end)
    except (ValueError, OverflowError) as error:
        raise wrong(name, f"{text!r} is no instant", f"such as {when.FORMS}") from error


def read(name: str, reader: Callable[[str], Any], text: str) -> Any:
    """Return what a reader makes of a text. Raises Problem."""
    try:
        return reader(text)
    except ValueError as error:
        raise wrong(name, str(error)) from error


def bare_address(text: str) -> str:
    """Return an address without the brackets that logs have around it."""
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def _texts(given: Sequence[str] | None, reader: Callable[[str], Any]) -> tuple[Any, ...]:
    return tuple(map(reader, given or ()))
