"""The status log of one worker: one line per recipient and event (`docs/events.md`).

The store has every status event in any case; a line is written after the commit, from the same value.
What a line says is in `relayd/answers/status_line.py`.
"""

from datetime import datetime

import orjson

from relayd.answers.status_line import Message, status_line
from relayd.logs.jsonline import dump
from relayd.logs.writer import LineWriter
from relayd.mail.envelope import NewMessage
from relayd.mail.event import Event, first_events, subject_of
from relayd.mail.words import Detail, EventKind, format_instant

SCHEMA = 1


class StatusLog:
    """Writes lines to a file, or to standard output for `-`. Never raises, and never waits."""

    def __init__(self, path: str, *, node: str) -> None:
        """`node` is the host name, for each line."""
        self._writer = LineWriter(path)
        self._node = node

    def received(self, message: NewMessage) -> None:
        """Note what is recorded with the reception of a message."""
        subjects = [subject_of(message, number) for number in range(len(message.recipients))]
        for event in first_events(message):
            subject = subjects[event.recipient]
            self.record(event, subject, subject.address)

    def record(self, event: Event, message: Message, address: str) -> None:
        """Note one event of one recipient."""
        line = status_line(event, event.message_id, message, address, node=self._node)
        line["schema"] = SCHEMA
        self._writer.write(dump(line, orjson.OPT_APPEND_NEWLINE))

    def acted(self, event: Event) -> None:
        """Note an event that says itself what it is about."""
        assert event.subject is not None, "it says so"
        self.record(event, event.subject, event.subject.address)

    def refused(self, at: datetime, detail: Detail) -> None:
        """Note that a client was refused: there is no message."""
        line: dict[str, object] = {"ts": format_instant(at), "event": EventKind.REFUSED}
        line["node"] = self._node
        line.update((name, value) for name, value in detail.items() if value is not None)
        line["schema"] = SCHEMA
        self._writer.write(dump(line, orjson.OPT_APPEND_NEWLINE))

    def reopen(self) -> None:
        """Open the file anew before the next line: it was rotated."""
        self._writer.reopen()

    def close(self) -> None:
        """Write what is queued, then close."""
        self._writer.close()
