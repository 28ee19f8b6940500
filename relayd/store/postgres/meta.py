"""Single values of the store, by name."""

from collections.abc import Collection, Mapping

from relayd.store.postgres.line import Session


async def number(db: Session, name: str, default: int) -> int:
    found = await db.value("SELECT value FROM meta WHERE key = $1", name)
    return default if found is None else int(found)


async def numbers(db: Session, names: Collection[str]) -> Mapping[str, int]:
    """Return those of the numbers that are there."""
    found = await db.fetch("SELECT key, value FROM meta WHERE key = ANY($1::text[])", list(names))
    return {key: int(value) for key, value in found}


async def value(db: Session, name: str) -> bytes | None:
    found = await db.value("SELECT value FROM meta WHERE key = $1", name)
    return None if found is None else bytes(found)


async def write_number(db: Session, name: str, value: int) -> None:
    await write(db, name, str(value).encode())


async def write_numbers(db: Session, values: Mapping[str, int]) -> None:
    await db.execute(
        "INSERT INTO meta (key, value) SELECT key, convert_to(value, 'UTF8') FROM unnest($1::text[], $2::text[])"
        " AS n (key, value) ORDER BY key ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        list(values),
        [str(value) for value in values.values()],
    )


async def write(db: Session, name: str, value: bytes) -> None:
    await db.execute(
        "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        name,
        value,
    )


async def secret(db: Session) -> bytes | None:
    """Return the random octets of this store; None: nobody has made them yet."""
    return await value(db, "secret")


async def make_secret(db: Session, octets: bytes) -> bytes:
    """Return the random octets of this store: those given, if nobody has made any before."""
    await db.execute(
        "INSERT INTO meta (key, value) VALUES ('secret', $1) ON CONFLICT DO NOTHING", octets
    )
    return await secret(db) or octets
