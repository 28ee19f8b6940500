"""Name the site that mail hosts belong to: what a receiver counts as one.

Owns the name only. Limits, throttles, slow start and the choice of a source address go by it, and
so does what all workers remember of a receiver. Idle connections do not: they go by host name.

A provider that gives each customer hosts of its own would look like thousands of sites if the set
of host names were the key: a limit would mean nothing there. So known providers are a table
(`providers.toml`), and hosts with one parent name are one site. Where that joins receivers that have
nothing to do with each other, their mail is slower, and never wrong.

Invariant: the name depends on the hosts alone, in any order, but for a domain that is its own only
host. So domains with the same hosts are always one site.

Source: docs/adr, "A site is what a receiver counts as one".
"""

import hashlib
import tomllib
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from importlib import resources

_LONGEST = 200  # characters of a key; it is in tables and in commands

# Names in front of a country's, below which strangers register: com.br, gob.mx. Whatever has two
# letters there is taken for one as well: co.uk, ne.jp.
_REGISTRIES = frozenset({
    "asso", "com", "edu", "gen", "gob", "gouv", "gov", "govt", "ltd", "mil", "net", "nom", "org",
    "plc", "sch",
})  # fmt: skip


def site_key(hosts: Collection[str], domain: str) -> str:
    """Return the name of the site of `domain`, whose mail hosts are `hosts`.

    It is a provider's name (`google`), else the one parent of all hosts (`example.net`), else the
    hosts themselves, joined by commas. Names are A-labels in lower case without a dot at the end.
    """
    return _site_key(frozenset(hosts), domain)


@lru_cache(maxsize=4096)
def _site_key(hosts: frozenset[str], domain: str) -> str:
    providers = {_provider(host) for host in hosts}
    if len(providers) == 1 and (provider := next(iter(providers))):
        return provider
    # Above a domain that is its own mail host is the zone where it was registered, with strangers.
    parents = {_parent(host) for host in hosts} if hosts != {domain} else set()
    if len(parents) == 1 and (parent := next(iter(parents))):
        return parent
    return _of_set(hosts)


def _provider(host: str) -> str | None:
    table = _table()
    labels = host.split(".")
    names = (".".join(labels[start:]) for start in range(len(labels)))
    return next((table[name] for name in names if name in table), None)


def _parent(host: str) -> str | None:
    """Return the name less its first label; None: hosts of strangers may be below that."""
    parent = host.partition(".")[2]
    labels = parent.split(".")
    if len(labels) < 2 or (len(labels) == 2 and _is_registry(*labels)):
        return None
    return parent


def _is_registry(label: str, top: str) -> bool:
    return len(top) == 2 and (len(label) <= 2 or label in _REGISTRIES)


def _of_set(hosts: frozenset[str]) -> str:
    names = sorted(hosts)
    key = ",".join(names)
    if len(key) <= _LONGEST:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"{names[0][: _LONGEST // 2]},+{len(names) - 1},{digest}"


@cache
def _table() -> Mapping[str, str]:
    """Return the provider of each suffix."""
    file = resources.files("relayd.policy.delivery").joinpath("providers.toml")
    entries = tomllib.loads(file.read_text(encoding="utf-8"))
    return {suffix: name for name, entry in entries.items() for suffix in entry["suffixes"]}
