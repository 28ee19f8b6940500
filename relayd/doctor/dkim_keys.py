"""The DKIM keys of this relay: those that it signs with, and those that lie beside the settings for a rotation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from relayd.config.dkim_files import folder_of, selectors_there
from relayd.net.dkim_keys import DkimKey, KeyUnfit, load_key, read_key_file
from relayd.policy.dkim_rotation import PEM, RETIRED, KeyKind, Published, file_name, record_of
from relayd.policy.doctor.dkim import OwnKey
from relayd.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A key and where it is."""

    domain: str
    selector: str
    path: Path
    key: DkimKey
    made_at: datetime  # when the file was written
    place: (
        int | None
    )  # of its table in the settings; None: it is new, and nothing is signed with it

    @property
    def kind(self) -> KeyKind:
        return KeyKind(self.key.algorithm.partition("-")[0])

    @property
    def published(self) -> Published:
        """What the DNS should have."""
        record = record_of(self.kind, self.key.published())
        return Published(self.domain, self.selector, record)


def signing_domains(settings: Settings) -> Sequence[str]:
    """Return the domains with a key, each once."""
    return tuple(dict.fromkeys(each.domain for each in settings.dkim))


def keys_that_sign(settings: Settings) -> Sequence[KeyFile]:
    """Return the keys in use; one that is no use is not among them."""
    found = []
    for place, each in enumerate(settings.dkim):
        with suppress(KeyUnfit):
            found.append(_read(each.domain, each.selector, Path(each.path), place))
    return found


def keys_of(settings: Settings, domain: str) -> Sequence[KeyFile]:
    """Return the keys of a domain, those in use first. Raises KeyUnfit that names the file."""
    used = [
        _read(domain, each.selector, Path(each.path), place)
        for place, each in enumerate(settings.dkim)
        if each.domain == domain
    ]
    return [*used, *_new(settings, domain)]


def own_keys(keys: Sequence[KeyFile]) -> Mapping[str, OwnKey]:
    """Return what the records are compared with, by selector; the keys are those of one domain."""
    with_rsa = any(each.kind is KeyKind.RSA for each in keys)
    return {
        each.selector: OwnKey(kind=each.kind, public=each.key.published(), beside_rsa=with_rsa)
        for each in keys
    }


def _new(settings: Settings, domain: str) -> Iterator[KeyFile]:
    folder = folder_of(settings.file)
    used = {each.selector for each in settings.dkim if each.domain == domain}
    known = used | set(selectors_there(folder, domain, RETIRED))
    for selector in selectors_there(folder, domain, PEM):
        if selector not in known:
            yield _read(domain, selector, folder / file_name(domain, selector), None)


def _read(domain: str, selector: str, path: Path, place: int | None) -> KeyFile:
    try:
        key = load_key(read_key_file(path))
        made_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except KeyUnfit as error:
        raise KeyUnfit(f"{path}: {error}") from None
    except OSError as error:
        raise KeyUnfit(f"{path}: {error.strerror}") from None
    return KeyFile(
        domain=domain, selector=selector, path=path, key=key, made_at=made_at, place=place
    )
