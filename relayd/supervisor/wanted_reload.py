"""A reload that somebody wants: whether there is one, and from when on it is worth a try."""

LET_GO_WITHIN = 10.0  # seconds for workers of earlier settings to let go of an address
LOOK_AGAIN = 0.05  # seconds between two looks whether they have


class WantedReload:
    """One, however often it is said before it is carried out."""

    def __init__(self) -> None:
        self._since: float | None = None
        self.put_off_until: float | None = None

    def __bool__(self) -> bool:
        return self._since is not None

    def make(self, now: float) -> None:
        self._since, self.put_off_until = now, None

    def is_due(self, now: float) -> bool:
        """Tell whether to carry it out now."""
        if self.put_off_until is not None and now < self.put_off_until:
            return False
        self.put_off_until = None
        return self._since is not None

    def put_off(self, now: float) -> bool:
        """Try again in a moment; tell whether there is time for that."""
        if self._since is None or now >= self._since + LET_GO_WITHIN:
            return False
        self.put_off_until = now + LOOK_AGAIN
        return True

    def end(self) -> None:
        """Note that it is carried out, or refused."""
        self._since = self.put_off_until = None
