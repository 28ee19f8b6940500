"""A reload that somebody wants, and one that waits until workers of earlier settings have let go of an address."""

from relayd.settings import Settings

LET_GO_WITHIN = 10.0  # seconds, since an address could not be had
LOOK_AGAIN = 0.05  # seconds between two looks whether it can


class WantedReload:
    """One, however often it is asked for before it is carried out."""

    def __init__(self) -> None:
        self._is_wanted = False
        self._held_since: float | None = None
        self.put_off_until: float | None = None
        self.settings: Settings | None = None  # those that were read, while it is put off

    def __bool__(self) -> bool:
        return self._is_wanted

    def ask(self) -> None:
        """Want one with the settings of now; those that were read before count no longer."""
        self._is_wanted = True
        self.put_off_until = self.settings = None

    def is_due(self, now: float) -> bool:
        """Tell whether to carry it out now."""
        if self.put_off_until is not None and now < self.put_off_until:
            return False
        self.put_off_until = None
        return self._is_wanted

    def put_off(self, settings: Settings, now: float) -> bool:
        """Try again with these settings in a moment; tell whether there is time for that. Asking again gives no more of it."""
        if self._held_since is None:
            self._held_since = now
        if now >= self._held_since + LET_GO_WITHIN:
            return False
        self.settings, self.put_off_until = settings, now + LOOK_AGAIN
        return True

    def end(self) -> None:
        """Note that it is carried out, or refused."""
        self._is_wanted = False
        self._held_since = self.put_off_until = self.settings = None
