"""Where the mail of a relay goes, and where its queue is."""

from enum import Enum


class Mode(Enum):
    """One way to run it."""

    SMARTHOST = "smarthost"
    DIRECT = "direct mode"
    CUT_THROUGH = "direct mode, cut-through"
    POSTGRES = "smarthost, queue in PostgreSQL"

    @property
    def is_direct(self) -> bool:
        """Tell whether it looks up the hosts of recipients, and signs."""
        return self in {Mode.DIRECT, Mode.CUT_THROUGH}

    @property
    def settings(self) -> dict[str, str]:
        """What a listener has beside the usual."""
        return {"listen_more": 'cut_through = "5s"'} if self is Mode.CUT_THROUGH else {}
