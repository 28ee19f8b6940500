"""The keys that sign mail."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimKeySettings:
    """One table of `[[dkim]]`."""

    domain: str  # as A-labels in lower case
    selector: str
    path: str  # of its file
    required: bool  # mail of the domain that this key cannot sign is held
    pem: bytes = field(default=b"", repr=False)  # empty: the key is no use, or was not read
    problem: str = ""  # why its file is no use

    @property
    def name(self) -> str:
        """Return where its public key is published."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def is_unusable(self) -> bool:
        """Tell whether the key was read and is no use."""
        return bool(self.problem) and not self.pem


def with_kept_keys(
    fresh: Iterable[DkimKeySettings], before: Iterable[DkimKeySettings]
) -> tuple[DkimKeySettings, ...]:
    """Return the keys of settings that are read again: one whose file is no use now signs on as it was."""
    known = {each.name: each.pem for each in before}
    return tuple(
        replace(each, pem=known.get(each.name, b"")) if each.is_unusable else each for each in fresh
    )
