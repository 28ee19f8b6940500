"""`relayd store copy`: what it says, what it refuses, and how it is undone."""

import os
from collections.abc import Sequence

import pytest

from relayd.supervisor.lock import QueueLock
from tests.support.builders import a_message
from tests.support.cli_world import World, enqueue
from tests.support.other_users import DAEMON, needs_root


@pytest.fixture
async def urls(world: World) -> tuple[str, str]:
    """A queue in which mail to two recipients waits, and where there is none yet."""
    store = world.open_store()
    await enqueue(store, a_message("a@x.test", "b@x.test"))
    await store.close()
    return f"sqlite:{world.folder}/queue.db", f"sqlite:{world.folder}/copy.db"


def test_what_it_says(world: World, urls: tuple[str, str]) -> None:
    ran = world.run("store", "copy", *urls)
    assert (ran.status, ran.err) == (0, "")
    first, same, *others = ran.out.splitlines()
    assert first == f"copied {urls[0]} to {urls[1]}"
    assert same.startswith("compared, and the same: ")
    assert others == [
        "messages: 1; content: 0.0 MB",
        "recipients: 2 queued",
        f"next: name {urls[1]} in store.url, and start relayd; the old queue is kept",
    ]
    world.settings.write_text(world.settings.read_text().replace("queue.db", "copy.db"))
    assert {row["rcpt"] for row in world.run("status", "--json").rows} == {"a@x.test", "b@x.test"}


def test_what_it_tells_programs(world: World, urls: tuple[str, str]) -> None:
    [told] = world.run("store", "copy", "--json", *urls).rows
    assert told.pop("seconds") >= 0
    rows = told.pop("rows")
    assert {name: count for name, count in rows.items() if count} == {
        "message": 1,
        "recipient": 2,
        "content": 1,
        "event": 2,
        "meta": rows["meta"],
    }
    assert told == {
        "from": urls[0],
        "to": urls[1],
        "messages": 1,
        "recipients": {"queued": 2},
        "octets": len(a_message().content),
    }


def test_undone(world: World, urls: tuple[str, str]) -> None:
    world.run("store", "copy", *urls)
    again = world.run("store", "copy", *urls)
    assert again.status == os.EX_CANTCREAT
    assert again.err == (
        f"relayd: the queue of {urls[0]} went to {urls[1]}: name that in store.url,"
        f" or give that copy up with relayd store copy {urls[0]} {urls[1]} --undo\n"
    )
    ran = world.run("store", "copy", "--undo", *urls)
    assert ran.out == f"given up: relayd may serve {urls[0]} again, and not {urls[1]}\n"
    ran = world.run("store", "copy", "--undo", "--json", *urls)
    assert ran.status == os.EX_CANTCREAT
    assert "nothing to undo" in ran.err


@pytest.mark.parametrize("which", [0, 1])
def test_a_daemon_has_one_of_them(world: World, urls: tuple[str, str], which: int) -> None:
    lock = QueueLock(urls[which])
    ran = world.run("store", "copy", *urls)
    lock.close()
    assert ran.status == os.EX_UNAVAILABLE
    assert "another relayd serves the queue" in ran.err
    assert "systemctl stop relayd" in ran.err


@needs_root
def test_the_lock_is_the_daemons(world: World, urls: tuple[str, str]) -> None:
    """Also the one of a queue on a server, which nobody has taken yet: the daemon is to take it next."""
    state = world.folder / "state"
    state.mkdir()
    os.chown(state, DAEMON.uid, -1)
    database = f"postgresql://relayd@/relayd?host={world.folder}"
    text = world.settings.read_text().replace(urls[0], database)
    world.settings.write_text(text.replace("[control]", f'folder = "{state}"\n[control]'))
    ran = world.run("store", "copy", urls[0], database)
    assert ran.status == os.EX_TEMPFAIL, ran.err
    assert {each.stat().st_uid for each in state.iterdir()} == {DAEMON.uid}


def test_another_user(world: World, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    ran = world.run("store", "copy", *urls)
    assert ran.status == os.EX_NOPERM
    assert f"you may not change {world.folder}/queue.db: run this as root" in ran.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["sqlite:{0}/no.db", "sqlite:{0}/copy.db"], os.EX_CANTCREAT, "there is no queue at"),
        (["{0}/queue.db", "sqlite:{0}/copy.db"], os.EX_USAGE, 'expected "sqlite:"'),
        (["sqlite:{0}/queue.db", "postgresql://a:b@c/d"], os.EX_USAGE, "has a password in it"),
        (["sqlite:{0}/queue.db", "sqlite:{0}/queue.db"], os.EX_CANTCREAT, "both the source"),
    ],
    ids=["no source", "a path", "a password", "the same"],
)
def test_what_cannot_be_copied(
    world: World, urls: tuple[str, str], arguments: Sequence[str], status: int, said: str
) -> None:
    assert urls
    ran = world.run("store", "copy", *(each.format(world.folder) for each in arguments))
    assert ran.status == status
    assert said in ran.err
    assert not (world.folder / "copy.db").exists()


def test_stopped_by_hand(
    world: World, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("relayd.cli.progress.Progress.show", stopped)
        ran = world.run("store", "copy", *urls)
    assert (
        ran.err
        == "relayd: stopped; the same command goes on, and with --undo it gives the copy up\n\n"
    )
    assert ran.status not in {os.EX_OK, os.EX_SOFTWARE}
    assert world.run("store", "copy", *urls).status == os.EX_OK
