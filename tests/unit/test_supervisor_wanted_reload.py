"""A reload that is wanted is carried out once, or put off for a while and then refused."""

from relayd.supervisor.wanted_reload import LET_GO_WITHIN, LOOK_AGAIN, WantedReload
from tests.support.supervised import settings_of

SETTINGS = settings_of(["127.0.0.1:2525"], control="/c.sock", queue="/q.db")


def test_it_is_due_at_once_and_ends() -> None:
    wanted = WantedReload()
    assert not wanted.is_due(5)
    wanted.ask()
    assert (bool(wanted), wanted.is_due(5)) == (True, True)
    wanted.end()
    assert not wanted.is_due(5)


def test_it_is_put_off_by_a_moment_but_not_for_ever() -> None:
    """The time begins with the first try, however late that is; asking again gives no more."""
    wanted, now, tries = WantedReload(), 100.0, 0
    wanted.ask()
    while wanted.is_due(now) and wanted.put_off(SETTINGS, now):
        tries += 1
        assert not wanted.is_due(now)
        assert wanted.put_off_until is not None
        now = wanted.put_off_until
        if tries % 7 == 0:
            wanted.ask()
    assert abs(now - 100 - LET_GO_WITHIN) < 2 * LOOK_AGAIN
    assert tries >= LET_GO_WITHIN / LOOK_AGAIN - 1


def test_what_was_read_is_kept_until_somebody_asks_again() -> None:
    wanted = WantedReload()
    wanted.ask()
    assert wanted.put_off(SETTINGS, 5)
    assert (wanted.settings == SETTINGS, wanted.is_due(5.01)) == (True, False)
    wanted.ask()
    assert (wanted.settings == SETTINGS, wanted.is_due(5.01)) == (False, True)


def test_one_that_was_refused_leaves_nothing() -> None:
    wanted = WantedReload()
    wanted.ask()
    assert wanted.put_off(SETTINGS, 5)
    wanted.end()
    assert (wanted.put_off_until, wanted.settings) == (None, None)
    wanted.ask()
    assert wanted.put_off(SETTINGS, 5 + 2 * LET_GO_WITHIN)
