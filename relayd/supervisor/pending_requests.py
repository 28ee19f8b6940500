"""The workers that ask for a reload on behalf of somebody at the control socket.

Owns who waits for which reload: one that is under way when a worker asks may have read the settings
before they were changed, so it does not count for that worker; the next one does. Everybody who asked gets
exactly one answer, a line that it passes on as it is, at the latest when the daemon stops.
"""

from collections.abc import Sequence

from relayd.control.protocol import encode
from relayd.settings import Settings
from relayd.supervisor.processes import Worker

_MOST = 60  # reasons
_LONGEST = 500  # characters of one


class PendingRequests:
    """Who asked, and has no answer yet."""

    def __init__(self) -> None:
        self._waiting: list[Worker] = []  # for the reload that is not begun
        self._served: list[Worker] = []  # by the one that is under way

    def add(self, worker: Worker) -> None:
        self._waiting.append(worker)

    def begin(self) -> None:
        """Note that a reload reads the settings now, perhaps once more: asked for again while it waits."""
        self._served, self._waiting = [*self._served, *self._waiting], []

    def answer(self, settings: Settings, reasons: Sequence[str] = ()) -> None:
        """Tell those served what is in force now, or with `reasons` why nothing else is."""
        for worker in self._served:
            worker.tell(_answer(settings, reasons))
        self._served = []

    def dismiss(self, settings: Settings, reason: str) -> None:
        """Tell all of them that there will be no reload."""
        self._served += self._waiting
        self._waiting = []
        self.answer(settings, [reason])


def _answer(settings: Settings, reasons: Sequence[str]) -> bytes:
    """Short enough for the line between us to take it at once."""
    if reasons:
        return encode({"ok": False, "error": _plain("\n".join(_first(reasons))), "again": False})
    return encode({"ok": True, "file": _plain(settings.file), "digest": settings.digest})


def _first(reasons: Sequence[str]) -> list[str]:
    kept = [reason[:_LONGEST] for reason in reasons[:_MOST]]
    left = len(reasons) - len(kept)
    return [*kept, f"and {left} more: see `relayd check`"] if left else kept


def _plain(text: str) -> str:
    """A file's name may hold what is not Unicode."""
    return text.encode("utf-8", "replace").decode()
