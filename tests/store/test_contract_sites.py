"""What every store must do with what workers know of sites."""

from dataclasses import replace

from relayd.policy.pace import FREE, PROBE_FOR, Saw, Seen, SiteMode
from relayd.ports.sites import Fallback, SiteKey
from tests.support.stores import Box

GOOGLE = SiteKey("google")
SLOW = Seen(saw=Saw.SLOW, reply="421 4.7.28 too much", went=100.0)
MISTRUST = Seen(saw=Saw.MISTRUST, reply="421 4.7.0 bad reputation")
ACCEPTED = Seen(saw=Saw.ACCEPTED)
HOUR = 3600.0


async def test_nothing_is_known_at_first(box: Box) -> None:
    changes = await box.store.sites.site_states()
    assert not [*changes.sites, *changes.fallbacks]
    assert not box.view.sites.sites()
    assert not box.view.sites.fallbacks()


async def test_what_one_saw_all_read(box: Box) -> None:
    noted = await box.store.sites.note_site(GOOGLE, SLOW)
    assert (noted.before, noted.after.mode) == (FREE, SiteMode.PACED)
    changes = await box.store.sites.site_states()
    [known] = changes.sites
    assert (known.key, known.state) == (GOOGLE, noted.after)
    [seen] = box.view.sites.sites()
    assert seen == known


async def test_only_what_changed_is_read_again(box: Box) -> None:
    sites = box.store.sites
    await sites.note_site(GOOGLE, SLOW)
    revision = (await sites.site_states()).revision
    assert not (await sites.site_states(revision)).sites
    await sites.note_site(GOOGLE, ACCEPTED)
    assert (await sites.site_states(revision)).revision == revision, "nothing was written"
    await sites.note_site(SiteKey("yahoo", "192.0.2.1"), MISTRUST)
    changes = await sites.site_states(revision)
    assert changes.revision > revision
    assert [each.key for each in changes.sites] == [SiteKey("yahoo", "192.0.2.1")]
    assert len((await sites.site_states()).sites) == 2


async def test_each_address_of_ours_has_a_state(box: Box) -> None:
    one, other = SiteKey("google", "192.0.2.1"), SiteKey("google", "192.0.2.2")
    await box.store.sites.note_site(one, MISTRUST)
    assert (await box.store.sites.note_site(other, ACCEPTED)).after == FREE
    assert [each.key for each in box.view.sites.sites()] == [one]


async def test_one_message_over_all_workers_asks(box: Box) -> None:
    sites = box.store.sites
    resting = (await sites.note_site(GOOGLE, MISTRUST)).after
    assert await sites.begin_probe(GOOGLE) is None
    box.advance(resting.until - box.clock.now().timestamp())
    asking = await sites.begin_probe(GOOGLE)
    assert asking is not None
    assert await sites.begin_probe(GOOGLE) is None
    [known] = (await sites.site_states()).sites
    assert known.state == asking
    box.advance(PROBE_FOR)
    assert await sites.begin_probe(GOOGLE) is not None, "who asked has died"
    assert (await sites.note_site(GOOGLE, ACCEPTED)).after.mode is SiteMode.PACED
    assert await sites.begin_probe(GOOGLE) is None
    assert await sites.begin_probe(SiteKey("yahoo")) is None


async def test_a_site_is_free_again_by_a_person(box: Box) -> None:
    sites = box.store.sites
    one, other = SiteKey("google", "192.0.2.1"), SiteKey("google", "192.0.2.2")
    for key in (other, one, SiteKey("yahoo")):
        await sites.note_site(key, MISTRUST)
    revision = (await sites.site_states()).revision
    assert [each.key for each in await sites.free_site("google")] == [one, other]
    assert [each.state for each in (await sites.site_states(revision)).sites] == [FREE, FREE]
    assert [each.key.site for each in box.view.sites.sites()] == ["yahoo"]
    assert await sites.free_site("google") == []


async def test_mail_of_a_domain_goes_another_way_for_a_while(box: Box) -> None:
    sites, now = box.store.sites, box.clock.now().timestamp()
    on = Fallback(domain="a.test", site="google", until=now + HOUR, reply="550 5.7.1 blocked")
    assert await sites.note_fallback(on)
    assert not await sites.note_fallback(replace(on, until=now + 2 * HOUR)), "it did so before"
    revision = (await sites.site_states()).revision
    assert list(box.view.sites.fallbacks()) == [replace(on, until=now + 2 * HOUR)]
    off = replace(on, until=0.0)
    assert not await sites.note_fallback(off)
    assert [each.until for each in (await sites.site_states(revision)).fallbacks] == [0.0]
    revision = (await sites.site_states()).revision
    assert not await sites.note_fallback(off)
    assert (await sites.site_states()).revision == revision, "it was off"
    assert await sites.note_fallback(on)


async def test_a_shorter_fall_back_does_not_end_a_longer_one(box: Box) -> None:
    """A minute of a warm-up, while the domain's mail goes another way for hours."""
    sites, now = box.store.sites, box.clock.now().timestamp()
    on = Fallback(domain="a.test", site="google", until=now + HOUR, reply="550 5.7.1 blocked")
    await sites.note_fallback(on)
    revision = (await sites.site_states()).revision
    assert not await sites.note_fallback(replace(on, until=now + 60, reply="new"))
    assert list(box.view.sites.fallbacks()) == [on]
    assert (await sites.site_states()).revision == revision, "nothing was written"
    box.advance(HOUR)
    assert await sites.note_fallback(replace(on, until=now + HOUR + 60)), "the longer one is over"


async def test_what_is_over_is_deleted(box: Box) -> None:
    """What strangers say must not grow without end."""
    sites, now = box.store.sites, box.clock.now().timestamp()
    await sites.note_site(GOOGLE, SLOW)
    await sites.note_fallback(Fallback(domain="a.test", site="google", until=now + HOUR))
    box.advance(13 * HOUR)
    await sites.note_site(SiteKey("yahoo"), SLOW)
    changes = await sites.site_states()
    assert [each.key.site for each in changes.sites] == ["yahoo"]
    assert not changes.fallbacks


async def test_a_long_reply_is_cut(box: Box) -> None:
    noted = await box.store.sites.note_site(GOOGLE, replace(MISTRUST, reply="421 " + "x" * 10_000))
    assert len(noted.after.reply) == 500
