"""A reload that is wanted is carried out once, or put off for a while and then refused."""

from relayd.supervisor.wanted_reload import LET_GO_WITHIN, LOOK_AGAIN, WantedReload


def test_it_is_due_at_once_and_ends() -> None:
    wanted = WantedReload()
    assert not wanted
    assert not wanted.is_due(5)
    wanted.make(5)
    assert wanted
    assert wanted.is_due(5)
    wanted.end()
    assert not wanted.is_due(5)


def test_it_is_put_off_by_a_moment_but_not_for_ever() -> None:
    wanted, now, tries = WantedReload(), 100.0, 0
    wanted.make(now)
    while wanted.is_due(now) and wanted.put_off(now):
        tries += 1
        assert not wanted.is_due(now)
        assert wanted.put_off_until is not None
        now = wanted.put_off_until
    assert abs(now - 100 - LET_GO_WITHIN) < 2 * LOOK_AGAIN
    assert tries >= LET_GO_WITHIN / LOOK_AGAIN - 1


def test_who_wants_it_anew_need_not_wait() -> None:
    wanted = WantedReload()
    wanted.make(5)
    assert wanted.put_off(5)
    wanted.make(5.01)
    assert wanted.is_due(5.01)


def test_nobody_waits_for_one_that_was_carried_out() -> None:
    wanted = WantedReload()
    assert not wanted.put_off(5)
    wanted.make(5)
    assert wanted.put_off(5)
    wanted.end()
    assert wanted.put_off_until is None
