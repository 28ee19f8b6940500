"""Names of this machine, such as `root`, and where their mail goes instead: `[aliases]`.

Owns what a name stands for, and which addresses mean a name. The case of a name does not matter. A name
may stand for other names; an address with a domain is the end of the way, also one of this machine.
Settings are checked with `flaws_of` before `resolved` reads them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from relayd.mail.address import Address, parse_address

CATCH_ALL = "*"
"""Stands for every name that has no entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aliases:
    """Where mail to names of this machine goes."""

    addresses: Mapping[str, tuple[Address, ...]]  # by names in lower case
    domains: frozenset[str]  # what this machine is called, in lower case
    fqdn: str
    verp_domain: str  # whose addresses are no names, and not for `CATCH_ALL`

    def targets(self, address: Address) -> tuple[Address, ...]:
        """Return the addresses that get the mail to this one instead; none: it stays."""
        domain = address.domain.lower()
        if domain not in self.domains:
            return ()
        return self.addresses.get(self.entry_of(address), ())

    def entry_of(self, address: Address) -> str:
        """Return the entry for an address of this machine; there may be none of this name."""
        name = address.local.strip('"').lower()
        if name in self.addresses or address.domain.lower() == self.verp_domain:
            return name
        return CATCH_ALL


def aliases_of(
    addresses: Mapping[str, tuple[Address, ...]], *, fqdn: str, host_name: str, verp_domain: str
) -> Aliases | None:
    """Return the aliases of a machine; None: there are none. `host_name` is the system's name of it."""
    if not addresses:
        return None
    names = (fqdn, host_name, "localhost", "localhost.localdomain")
    return Aliases(
        addresses=addresses,
        domains=frozenset(name.lower() for name in names),
        fqdn=fqdn,
        verp_domain=verp_domain.lower(),
    )


def receivers_of(address: Address, aliases: Aliases | None) -> Sequence[Address]:
    """Return who gets the mail to an address: those that an alias names, or it itself."""
    targets = () if aliases is None else aliases.targets(address)
    return targets or (address,)


def resolved(written: Mapping[str, Sequence[str]]) -> Mapping[str, tuple[Address, ...]]:
    """Return the addresses that each name stands for in the end, by names in lower case."""
    done, _ = _resolve(written)
    return done


def flaws_of(written: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
    """Return what is wrong with entries that are well-formed each, by their names."""
    spelt: dict[str, str] = {}
    for name in written:
        spelt.setdefault(name.lower(), name)
    flaws: dict[str, str] = {}
    for name, targets in written.items():
        if (first := spelt[name.lower()]) != name:
            flaws[name] = f'"{first}" is the same name: upper and lower case do not matter'
            continue
        known = spelt.keys() - {CATCH_ALL}
        unknown = [each for each in targets if "@" not in each and each.lower() not in known]
        if unknown:
            flaws[name] = (
                f'"{unknown[0]}" has no domain, and is no other name of [aliases]: expected an'
                " address such as you@example.org"
            )
    if not flaws:
        _, left = _resolve(written)
        if left:
            loop = _loop_in(left)
            flaws[spelt[loop[0]]] = f"a loop without an address: {' -> '.join(loop)}"
    return flaws


def _resolve(
    written: Mapping[str, Sequence[str]],
) -> tuple[dict[str, tuple[Address, ...]], dict[str, Sequence[str]]]:
    """Return what is resolved, and the names in lower case that are not, with their targets."""
    done: dict[str, tuple[Address, ...]] = {}
    left = {name.lower(): targets for name, targets in written.items()}
    while ready := [name for name, targets in left.items() if all(_is_known(each, done) for each in targets)]:  # fmt: skip
        for name in ready:
            found: dict[Address, Address] = {}
            for address in chain.from_iterable(_ends(each, done) for each in left.pop(name)):
                found.setdefault(address.compared, address)
            done[name] = tuple(found.values())
    return done, left


def _is_known(target: str, done: Mapping[str, tuple[Address, ...]]) -> bool:
    return "@" in target or target.lower() in done


def _ends(target: str, done: Mapping[str, tuple[Address, ...]]) -> tuple[Address, ...]:
    return (parse_address(target),) if "@" in target else done[target.lower()]


def _loop_in(left: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a loop among names of which each leads to another one of them; its ends are the same."""
    way = [next(iter(left))]
    while way[-1] not in way[:-1]:
        way.append(next(each.lower() for each in left[way[-1]] if each.lower() in left))
    return way[way.index(way[-1]) :]
