"""What the tables of a settings file are made of: a base, and the kinds of values."""

from datetime import timedelta
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator

from relayd.config import units
from relayd.mail.lenient import Leniency
from relayd.mail.words import format_duration
from relayd.policy.tls.require import OperatorTls
from relayd.settings import FixUps, HostPort, IpFamily, Network, TlsMode

Item = TypeVar("Item")


def not_empty(items: list[Item]) -> list[Item]:
    if not items:
        raise ValueError("expected at least one entry")
    return items


Text = Annotated[str, PlainValidator(units.text)]
# How a value is written again; only `mode="json"` asks for it.
AsText = PlainSerializer(str, return_type=str, when_used="json")
DurationText = PlainSerializer(format_duration, return_type=str, when_used="json")
Duration = Annotated[timedelta, PlainValidator(units.duration), DurationText]
OrOffText = PlainSerializer(units.format_duration_or_off, return_type=str, when_used="json")
DurationOrOff = Annotated[timedelta, PlainValidator(units.duration_or_off), OrOffText]
Hop = Annotated[HostPort, PlainValidator(units.next_hop), AsText]
Range = Annotated[Network, PlainValidator(units.network), AsText]
OperatorTlsWord = Annotated[OperatorTls, PlainValidator(units.word(OperatorTls)), AsText]
Tls = Annotated[TlsMode, PlainValidator(units.word(TlsMode)), AsText]
Family = Annotated[IpFamily, PlainValidator(units.word(IpFamily)), AsText]
Fixing = Annotated[FixUps, PlainValidator(units.fix_ups), AsText]
Lenient = Annotated[Leniency, PlainValidator(units.word(Leniency)), AsText]
Port = Annotated[int, PlainValidator(units.whole(1, 65535))]
Count = Annotated[int, PlainValidator(units.whole(1, 100_000))]
# A limit; "off" is none, and 0 inside. A rate of zero would stop all mail, and is refused.
LimitOrOff = Annotated[
    int,
    PlainValidator(units.limit_or_off),
    PlainSerializer(units.format_limit_or_off, return_type=int | str, when_used="json"),
]
# What is sent within days over a slow line, with its reports.
Size = Annotated[
    int,
    PlainValidator(units.size(1000, 512 * 10**6)),
    PlainSerializer(units.format_size, return_type=str, when_used="json"),
]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
