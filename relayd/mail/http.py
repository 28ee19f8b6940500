"""What came back from a web server."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A whole answer."""

    status: int
    content_type: str
    body: bytes
    has_end: bool = True  # False: the body ended with the connection, which anybody may have cut

    @property
    def media_type(self) -> str:
        """Return the content type without its parameters, in lower case (RFC 9110 §8.3.1)."""
        return self.content_type.partition(";")[0].strip(" \t").lower()
