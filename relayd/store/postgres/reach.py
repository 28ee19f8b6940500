"""Whether the server could be reached when it was last tried, for all lines of a worker."""

from relayd.errors import StoreUnavailable


class Reach:
    """What the lines found out; some line tries again at least each time that mail is looked for."""

    def __init__(self) -> None:
        self._why = ""

    def found(self) -> None:
        """It was reached."""
        self._why = ""

    def missed(self, why: str) -> None:
        """It was not."""
        self._why = why or "no answer"

    def expect(self) -> None:
        """Raise StoreUnavailable if it is away."""
        if self._why:
            raise StoreUnavailable(self._why)
