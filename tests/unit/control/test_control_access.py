"""The matrix of the control socket: each verb for each caller, alone and for each kind of account and key."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import pytest

from relayd.accounts.passwords import is_password
from relayd.control import people, verbs
from relayd.control.behalf import Behalf, with_behalf
from relayd.control.context import ControlContext
from relayd.control.peer import Peer
from relayd.control.people import NewPassword
from relayd.control.protocol import BadMessage, Message
from relayd.control.verbs import VERBS, admit, answer
from relayd.control.verbs.verb import Forbidden
from relayd.mail.operator import Action
from relayd.policy.console.access import Caller, Rule
from relayd.policy.console.roles import Role, Scope
from relayd.policy.console.sessions import IDLE, LONGEST
from relayd.ports.people import AccountChange, AuditEntry, AuditQuery, Sees
from relayd.ports.view import Query, Status
from relayd.store.memory.queue import MemoryStore
from tests.support.accounts import cheap_hash
from tests.support.builders import a_message
from tests.support.cli_world import enqueue
from tests.support.clock import FakeClock
from tests.support.control_server import a_context
from tests.support.people import HASH, ROOT, a_key, a_key_text, a_session, a_token, an_account
from tests.support.requeueing import sends_again

ROLES = ("viewer", "operator", "admin")
READERS = {*ROLES, "reading viewer", "key:read", "key:operate", "key:admin"}
OPERATORS = {"operator", "admin", "key:operate", "key:admin"}
ADMINS = {"admin", "key:admin"}
SUBMITTERS = {"key:submit", "key:own", "key:content"}
ALONE = {Caller.OWNER: "owner", Caller.GROUP: "group", Caller.CONSOLE: "console"}
# Which accounts and keys may use a verb, and who may for themselves.
MATRIX = {
    "act": (OPERATORS | {"key:own"}, "owner group"),
    "requeue": (OPERATORS | {"key:own"}, "owner group"),
    "suppress": (OPERATORS, "owner group"),
    "unsuppress": (OPERATORS, "owner group"),
    "pause": (OPERATORS, "owner group"),
    "resume": (OPERATORS, "owner group"),
    "free_site": (OPERATORS, "owner group"),
    "trace": (OPERATORS, "owner group"),
    "content": (
        {"reading viewer", "key:own"},
        "owner group",
    ),  # the group only where the settings say so
    "ping": (READERS, "owner group console"),
    "status": (READERS, "owner group console"),
    "metrics": (READERS, "owner group console"),
    "settings": (ADMINS, "owner group console"),
    "reload": (ADMINS, "owner group"),
    "set": (ADMINS, "owner"),
    "compact": (ADMINS, "owner group"),
    "doctor": (ADMINS, "owner group"),
    "people.add_account": (ADMINS, "owner"),
    "people.change_account": (ADMINS, "owner"),
    "people.set_password": (READERS | SUBMITTERS, "owner"),
    "people.drop_account": (ADMINS, "owner"),
    "people.add_key": (ADMINS, "owner"),
    "people.change_key": (ADMINS, "owner"),
    "people.drop_key": (ADMINS, "owner"),
    "people.log_in": (set(), "owner console"),
    "people.proxy_log_in": (set(), "owner console"),
    "people.oidc_begin": (set(), "owner console"),
    "people.oidc_log_in": (set(), "owner console"),
    "people.touch_session": (READERS | SUBMITTERS, "owner"),
    "people.end_session": (READERS | SUBMITTERS, "owner"),
    "people.end_sessions": (READERS | SUBMITTERS, "owner"),  # own ones, but for admins
    "people.touch_key": (READERS | SUBMITTERS, "owner"),
    "people.note": (READERS | SUBMITTERS, "owner console"),
    "endpoint.put": (ADMINS, "owner"),
    "endpoint.change": (ADMINS, "owner"),
    "endpoint.drop": (ADMINS, "owner"),
    "endpoint.rotate": (ADMINS, "owner"),
    "endpoint.test": (ADMINS, "owner"),
    "deliveries.replay": (ADMINS, "owner"),
    "deliveries.claim": (set(), "owner console"),
    "deliveries.settle": (set(), "owner console"),
}


class World:
    """A store with an account or key of each kind, and what each of them shows."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.context = a_context(self.store, now=self.clock.now)
        self.behalves: dict[str, Behalf] = {}

    async def fill(self) -> None:
        for number, (name, role) in enumerate(
            [(role, Role(role)) for role in ROLES] + [("reading viewer", Role.VIEWER)]
        ):
            await self.log_in(name, role, number)
        scopes = {f"key:{scope}": {scope} for scope in Scope}
        for number, (name, held) in enumerate([*scopes.items(), ("key:own", set(Scope))]):
            sees = Sees.OWN if name == "key:own" else Sees.ALL
            key = a_key(name, number, scopes=frozenset(held), sees=sees)
            await self.store.people.add_key(key, author=ROOT)
            self.behalves[name] = Behalf(key=str(a_key_text(number)), client="192.0.2.7")

    async def log_in(self, name: str, role: Role, number: int) -> None:
        account = an_account(
            name.rsplit(maxsplit=1)[-1] + str(number), role, reads_content=" " in name
        )
        await self.store.people.add_account(account, author=ROOT)
        await self.store.people.open_session(a_session(account.name, number), author=ROOT)
        self.behalves[name] = Behalf(session=a_token(number), client="192.0.2.7")

    async def is_admitted(self, verb: str, caller: Caller, behalf: Behalf | None = None) -> bool:
        message = with_behalf({"verb": verb}, behalf)
        try:
            await admit(message, Peer(name="x", caller=caller), self.context)
        except Forbidden:
            return False
        return True

    async def row(self, verb: str) -> tuple[set[str], str]:
        """Return what the matrix should say of a verb."""
        by_console = {
            name
            for name, behalf in self.behalves.items()
            if await self.is_admitted(verb, Caller.CONSOLE, behalf)
        }
        alone = [name for caller, name in ALONE.items() if await self.is_admitted(verb, caller)]
        return by_console, " ".join(alone)

    async def ask(self, message: Message, behalf: Behalf, caller: Caller = Caller.CONSOLE) -> None:
        peer = Peer(name="relayd-console", caller=caller)
        await answer(*await admit(with_behalf(message, behalf), peer, self.context))

    def last(self) -> AuditEntry:
        [entry] = self.store.view.people.audit(AuditQuery(), limit=1)
        return entry


@pytest.fixture
async def world() -> World:
    made = World()
    await made.fill()
    return made


def test_every_verb_is_in_the_matrix() -> None:
    assert set(MATRIX) == set(VERBS)


@pytest.mark.parametrize("verb", MATRIX)
async def test_who_may_use_a_verb(world: World, verb: str) -> None:
    assert await world.row(verb) == MATRIX[verb]


@pytest.mark.parametrize("verb", MATRIX)
async def test_rights_are_those_of_the_account_whoever_carries_it(world: World, verb: str) -> None:
    for name, behalf in world.behalves.items():
        allowed = name in MATRIX[verb][0]
        assert await world.is_admitted(verb, Caller.OWNER, behalf) is allowed
        assert not await world.is_admitted(verb, Caller.GROUP, behalf)


@pytest.mark.parametrize("verb", MATRIX)
async def test_the_matrix_finds_a_missing_rule(
    world: World, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: with a rule that lets in more, the row is another one."""
    rule = Rule(scope=None, console=True)
    monkeypatch.setitem(verbs.VERBS, verb, replace(VERBS[verb], rule=rule))
    assert await world.row(verb) != MATRIX[verb]


BAD = {
    "no token": Behalf(session="x"),
    "another token": Behalf(session=a_token(99)),
    "no key": Behalf(key="x"),
    "another key": Behalf(key=str(a_key_text(99))),
    "the id of one, the secret of another": Behalf(
        key=f"rk_{a_key_text(0).id}_{a_key_text(1).secret}"
    ),
    "a token as key": Behalf(key=a_token(0)),
    "a key as token": Behalf(session=str(a_key_text(0))),
}


@pytest.mark.parametrize("behalf", BAD.values(), ids=BAD)
@pytest.mark.parametrize("verb", ["ping", "act", "people.note", "people.touch_session"])
async def test_what_is_not_known_may_nothing(world: World, verb: str, behalf: Behalf) -> None:
    for caller in Caller:
        assert not await world.is_admitted(verb, caller, behalf)


@pytest.mark.parametrize("age", [IDLE, LONGEST])
async def test_a_session_that_is_over_may_nothing(world: World, age: timedelta) -> None:
    behalf = world.behalves["admin"]
    while world.clock.now() < a_session().begun_at + age:
        assert await world.is_admitted("ping", Caller.CONSOLE, behalf)
        if age is LONGEST:
            await world.ask({"verb": "people.touch_session"}, behalf)
        world.clock.advance(min(age, IDLE - timedelta(minutes=6)))
    assert not await world.is_admitted("ping", Caller.CONSOLE, behalf)


async def test_what_was_taken_back_is_not_there_for_the_next_request(world: World) -> None:
    people = world.store.people
    key = a_key("old", 77, scopes=frozenset(Scope), sees=Sees.ALL)
    behalf = Behalf(key=str(a_key_text(77)))
    await people.add_key(
        replace(key, expires_at=world.clock.now() + timedelta(seconds=1)), author=ROOT
    )
    assert await world.is_admitted("act", Caller.CONSOLE, behalf)
    world.clock.advance(timedelta(seconds=1))
    assert not await world.is_admitted("act", Caller.CONSOLE, behalf)
    shop = world.behalves["key:admin"]
    await people.change_key(a_key_text(3).id, disabled=True, author=ROOT)
    assert not await world.is_admitted("ping", Caller.CONSOLE, shop)
    await people.change_account("admin2", AccountChange(role=Role.VIEWER), author=ROOT)
    assert not await world.is_admitted("ping", Caller.CONSOLE, world.behalves["admin"])


async def test_a_disabled_account_may_nothing_though_a_session_is_left(world: World) -> None:
    """Disabling ends its sessions; should one be left, it is judged all the same."""
    accounts = world.store._tables.people.accounts
    accounts["admin2"] = replace(accounts["admin2"], disabled=True)
    assert not await world.is_admitted("ping", Caller.CONSOLE, world.behalves["admin"])


CLIENTS = {"192.0.2.9": True, "::ffff:192.0.2.9": True, "192.0.3.1": False, "": False, "x": False}


@pytest.mark.parametrize(("client", "admitted"), CLIENTS.items())
async def test_a_key_is_good_in_its_networks_only(
    world: World, client: str, *, admitted: bool
) -> None:
    key = a_key("near", 78, scopes=frozenset(Scope), networks=(ip_network("192.0.2.0/24"),))
    await world.store.people.add_key(key, author=ROOT)
    behalf = Behalf(key=str(a_key_text(78)), client=client)
    assert await world.is_admitted("people.touch_key", Caller.CONSOLE, behalf) is admitted


@pytest.mark.parametrize("verb", ["act", "act, dry run"])
async def test_a_key_acts_on_what_it_submitted(world: World, verb: str) -> None:
    """Of what its selector names, also where that names the logins of others."""
    for number, user in enumerate(["key:own (API key)", "shop (API key)", "key:own", None]):
        message = a_message("a@x.test", auth_user=user, count=number)
        await enqueue(world.store, message)
    behalf = world.behalves["key:own"]
    request = {
        "verb": "act",
        "action": "hold",
        "dry_run": verb != "act",
        "selector": {},
        "all": True,
    }
    peer = Peer(name="relayd-console", caller=Caller.CONSOLE)
    told = await answer(*await admit(with_behalf(request, behalf), peer, world.context))
    assert isinstance(told, dict)
    assert (told["matched"], told["changed"]) == (1, 1)
    held = world.store.view.find(Query(status=(Status.HELD,)), limit=9)
    assert [row.auth_user for row in held] == (["key:own (API key)"] if verb == "act" else [])
    with pytest.raises(Forbidden, match="that it submitted"):
        await world.ask({**request, "selector": {"auth_user": "shop (API key)"}}, behalf)


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_key_requeues_nothing_that_others_submitted(world: World, *, dry_run: bool) -> None:
    world.context = replace(world.context, send_again=sends_again(world.clock))
    for number, user in enumerate(["key:own (API key)", "shop (API key)", None]):
        message = a_message("a@x.test", auth_user=user, count=number)
        await enqueue(world.store, message)
    await world.store.act(Query(), Action.BOUNCE, by="ann", reason="")
    request = {"verb": "requeue", "selector": {}, "all": True, "dry_run": dry_run}
    peer = Peer(name="relayd-console", caller=Caller.CONSOLE)
    behalf = world.behalves["key:own"]
    told = await answer(*await admit(with_behalf(request, behalf), peer, world.context))
    assert isinstance(told, dict)
    assert told["matched"] == 1
    with pytest.raises(Forbidden, match="that it submitted"):
        await world.ask({**request, "selector": {"auth_user": "shop (API key)"}}, behalf)


async def test_who_acts_is_in_the_audit_before(world: World) -> None:
    message = {
        "verb": "act",
        "action": "hold",
        "selector": {"rcpt": "a@x.test", "tag": ["a", "b"]},
        "reason": "too fast\x1b[0m",
        "limit": 100,
    }
    await world.ask(message, world.behalves["operator"])
    row = world.last()
    assert (row.by, row.client) == ("operator1 (console)", "192.0.2.7")
    assert (row.action, row.target) == ("hold", "rcpt a@x.test, tag a b")
    assert row.detail == "too fast [0m"
    await world.ask({"verb": "unsuppress", "rcpt": "b@x.test"}, world.behalves["key:operate"])
    row = world.last()
    assert (row.by, row.action) == ("key:operate (API key)", "unsuppress")
    assert row.target == "b@x.test"


async def test_what_changes_nothing_is_not_in_the_audit(world: World) -> None:
    before = world.last()
    selector = {"rcpt": "a@x.test"}
    for message in (
        {"verb": "ping"},
        {"verb": "settings"},
        {"verb": "act", "action": "hold", "selector": selector, "dry_run": True},
        {"verb": "people.touch_session"},
    ):
        await world.ask(message, world.behalves["admin"])
    with pytest.raises(Forbidden):
        await world.ask({"verb": "act", "selector": selector}, world.behalves["viewer"])
    assert world.last() == before


async def test_content_is_for_those_with_the_right(world: World) -> None:
    """Also in a trace; the setting for the group changes nothing for accounts."""
    world.context = replace(
        world.context, settings=replace(world.context.settings, read_content=True)
    )
    trace = {"verb": "trace", "queue_id": "0CNA0NJ6E0401", "content": True}
    with pytest.raises(Forbidden, match="'content'"):
        await world.ask(trace, world.behalves["admin"])
    await world.store.people.change_account(
        "admin2", AccountChange(reads_content=True), author=ROOT
    )
    await world.store.people.open_session(a_session("admin2", 50), author=ROOT)
    with pytest.raises(AssertionError, match="content=True"):  # somebody would follow
        await world.ask(trace, Behalf(session=a_token(50)))


async def test_sessions_of_others_are_ended_by_an_admin(world: World) -> None:
    request = {"verb": "people.end_sessions", "name": "viewer0"}
    for name in ("operator", "key:operate", "key:submit"):
        with pytest.raises(Forbidden, match="not your account"):
            await world.ask(request, world.behalves[name])
    assert world.store.people.sessions("viewer0")
    await world.ask(request, world.behalves["viewer"])
    assert not world.store.people.sessions("viewer0")
    await world.ask({**request, "name": "operator1"}, world.behalves["admin"])
    assert not world.store.people.sessions("operator1")


async def test_a_password_is_set_for_the_account_that_asks_alone(world: World) -> None:
    request = people.set_password_to_json(NewPassword(old="old one", new="new one"))
    known = AccountChange(password_hash=cheap_hash("old one"))
    await world.store.people.change_account("viewer0", known, author=ROOT)
    await world.store.people.open_session(a_session("viewer0", 0), author=ROOT)
    with pytest.raises(BadMessage, match="no session"):
        await world.ask(request, world.behalves["key:admin"])
    await world.ask(request, world.behalves["viewer"])
    given = {"", HASH, known.password_hash}
    changed = [each for each in world.store.people.accounts() if each.password_hash not in given]
    assert is_password("new one", changed[0].password_hash)
    assert [(each.name, each.role) for each in changed] == [("viewer0", Role.VIEWER)]
    assert not world.store.people.sessions("viewer0")
    assert world.store.people.sessions("operator1")
    entry = world.last()
    assert (entry.by, entry.target, entry.detail) == (
        "viewer0 (console)",
        "viewer0",
        "new password",
    )


BROKEN: dict[str, object] = {
    "text": "anna",
    "empty": {},
    "both": {"session": "x", "key": "y"},
    "neither": {"client": "192.0.2.7"},
    "number": {"session": 1},
    "name": {"session": "x", "role": "admin"},
    "null": None,
}


@pytest.mark.parametrize("given", BROKEN.values(), ids=BROKEN)
async def test_a_broken_as_is_refused(world: World, given: object) -> None:
    """And never taken for none."""
    peer = Peer(name="root", caller=Caller.OWNER)
    with pytest.raises(BadMessage, match=r"'as'|unknown key|'session'"):
        await admit({"verb": "ping", "as": given}, peer, world.context)


def test_secrets_are_not_shown_by_accident() -> None:
    assert a_token(0) not in repr(Behalf(session=a_token(0), key="rk_x"))
    context: ControlContext = World().context
    assert "rk_" not in repr(context)
