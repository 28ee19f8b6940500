"""A wish for a reload is carried out once, or put off for a while and then refused."""

from relayd.supervisor.wish import LET_GO_WITHIN, LOOK_AGAIN, Wish


def test_it_is_due_at_once_and_ends() -> None:
    wish = Wish()
    assert not wish
    assert not wish.is_due(5)
    wish.make(5)
    assert wish
    assert wish.is_due(5)
    wish.end()
    assert not wish.is_due(5)


def test_it_is_put_off_by_a_moment_but_not_for_ever() -> None:
    wish, now, tries = Wish(), 100.0, 0
    wish.make(now)
    while wish.is_due(now) and wish.put_off(now):
        tries += 1
        assert not wish.is_due(now)
        assert wish.put_off_until is not None
        now = wish.put_off_until
    assert abs(now - 100 - LET_GO_WITHIN) < 2 * LOOK_AGAIN
    assert tries >= LET_GO_WITHIN / LOOK_AGAIN - 1


def test_who_wishes_anew_need_not_wait() -> None:
    wish = Wish()
    wish.make(5)
    assert wish.put_off(5)
    wish.make(5.01)
    assert wish.is_due(5.01)


def test_nobody_waits_for_one_that_was_carried_out() -> None:
    wish = Wish()
    assert not wish.put_off(5)
    wish.make(5)
    assert wish.put_off(5)
    wish.end()
    assert wish.put_off_until is None
