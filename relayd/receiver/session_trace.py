"""What those who look on are told of one session (`relayd.trace`): each command, and each reply.

Asked for only while somebody does.
"""

from relayd.receiver.dialogue import Dialogue
from relayd.trace import Subject, Trace, tracing
from relayd.trace.mask import Mask


class SessionTrace:
    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._trace: Trace | None = None
        self.told = 0  # of the replies that are owed: how many those know

    def greeting(self, line: bytes) -> None:
        """Tell of the greeting, with which the dialogue begins."""
        self._trace = self._new_trace(is_known=True)
        self._trace.reply("smtp_sent", line.decode().rstrip())

    def command(self, line: bytes) -> None:
        """Tell of a line of the client's, after what was answered before it."""
        self.replies()
        self._current().command("smtp_received", line)

    def replies(self) -> None:
        """Tell what has been answered since the last time."""
        owed = self._dialogue.owed
        for reply in owed[self.told :]:
            if reply:
                text = reply.decode(errors="replace").replace("\r\n", "\n").rstrip("\n")
                self._current().reply("smtp_sent", text)
        self.told = len(owed)

    def _current(self) -> Trace:
        """Return the trace of this session; where it begins now, that may be in the midst of a login."""
        is_known = self._trace is not None and self._trace.era == tracing.era
        client_ip = self._dialogue.client.origin.ip
        if self._trace is None or not is_known or self._trace.subject.client_ip != client_ip:
            self._trace = self._new_trace(is_known=is_known)
        return self._trace

    def _new_trace(self, *, is_known: bool) -> Trace:
        ip = self._dialogue.client.origin.ip
        mask = Mask(is_known=is_known)
        return Trace(Subject(client_ip=ip), mask, session=tracing.next_session(), client_ip=ip)
