"""What speaks against addresses: kept apart from the history, by the rules of `relayd.mail.suppression`."""

from collections.abc import Iterator, Sequence

from relayd.mail.suppression import Suppression, in_force, is_worth_keeping
from relayd.store.memory.tables import Tables


def key_of(address: str) -> str:
    """Return what is the same for all writings of an address, domain first."""
    local, _, domain = address.lower().rpartition("@")
    return f"{domain}@{local}"


def known(tables: Tables, address: str) -> list[Suppression]:
    return tables.suppressing.get(key_of(address), [])


def keep(tables: Tables, new: Suppression) -> None:
    """Note what speaks against an address from now on."""
    kept = tables.suppressing.setdefault(key_of(new.address), [])
    if is_worth_keeping(new, kept):
        kept.append(new)


def all_in_force(
    tables: Tables, *, after: str, domains: Sequence[str] = ()
) -> Iterator[Suppression]:
    """Yield what is in force, in the order of the keys, of addresses behind `after`."""
    begins = tuple(f"{domain.lower()}@" for domain in domains) or ("",)
    for key in sorted(tables.suppressing):
        if key > key_of(after) and key.startswith(begins):
            yield from in_force(tables.suppressing[key])
