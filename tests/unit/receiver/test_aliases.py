"""RCPT of a name of this machine: its mail goes to the addresses that `[aliases]` names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.mail.outcome import Relayed
from relayd.policy.intake.aliases import Aliases, aliases_of, resolved
from tests.support.builders import a_bounce
from tests.support.receiving import FQDN, Options, Reception, WireClient, receiving, run_on
from tests.unit.receiver.test_suppressed import with_history

OK = "250 2.1.5 OK"


def aliases(written: Mapping[str, Sequence[str]]) -> Aliases | None:
    return aliases_of(resolved(written), fqdn=FQDN, host_name="web1", verp_domain="")


ON = Options(
    aliases=aliases({"root": ["you@x.test"], "all": ["root", "two@x.test"], "*": ["any@x.test"]})
)
SOME = replace(ON, aliases=aliases({"root": ["you@x.test"]}))


async def mail_to(
    reception: Reception, *arguments: str, client: WireClient | None = None
) -> NewMessage:
    """Give a message to recipients that are all taken."""
    client = client or await reception.greeted()
    assert await client.ask("MAIL FROM:<app@app.test>") == "250 2.1.0 OK"
    for argument in arguments:
        assert await client.ask(f"RCPT TO:{argument}") == OK
    await client.ask("DATA")
    assert (await client.ask("To: root\r\n\r\nx\r\n.")).startswith("250 ")
    return reception.intake.messages[-1]


def envelope(message: NewMessage) -> list[tuple[str, str | None, str | None]]:
    return [
        (str(each.address), each.parameters.orcpt, each.parameters.notify)
        for each in message.recipients
    ]


ROOT = f"rfc822;root@{FQDN}"
ENVELOPES: Mapping[str, tuple[Sequence[str], list[tuple[str, str | None, str | None]]]] = {
    "one address": ([f"<root@{FQDN}>"], [("you@x.test", ROOT, None)]),
    "a name alone": (["<Root>"], [("you@x.test", f"rfc822;Root@{FQDN}", None)]),
    "several": (
        [f"<all@{FQDN}> NOTIFY=NEVER"],
        [("you@x.test", f"rfc822;all@{FQDN}", "NEVER"), ("two@x.test", f"rfc822;all@{FQDN}", "NEVER")],
    ),
    "the client's word stays": (
        ["<root> ORCPT=rfc822;cron@app.test"],
        [("you@x.test", "rfc822;cron@app.test", None)],
    ),
    "once by two names": (
        ["<root>", "<all>", "<root>"],
        [("you@x.test", ROOT, None), ("two@x.test", f"rfc822;all@{FQDN}", None)],
    ),
    "once, named itself as well": (
        ["<root>", "<you@X.test> NOTIFY=NEVER"],
        [("you@X.test", None, "NEVER")],
    ),
    "the other order": (
        ["<you@X.test> NOTIFY=NEVER", "<root>"],
        [("you@X.test", None, "NEVER")],
    ),
    "another local part is another address": (
        ["<root>", "<You@x.test>"],
        [("you@x.test", ROOT, None), ("You@x.test", None, None)],
    ),
    "an address is none": (["<root@x.test>"], [("root@x.test", None, None)]),
    "every other name": (["<c+=n@web1>"], [("any@x.test", "rfc822;c+2B+3Dn@web1", None)]),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "found"), ENVELOPES.values(), ids=ENVELOPES)
def test_the_envelope_changes_and_nothing_else(
    arguments: Sequence[str], found: list[tuple[str, str | None, str | None]]
) -> None:
    async def main() -> None:
        async with receiving(ON) as reception:
            message = await mail_to(reception, *arguments)
            assert envelope(message) == found
            assert isinstance(message.content, bytes)
            assert message.content.endswith(b"\r\nTo: root\r\n\r\nx\r\n")

    run_on("asyncio", main())


NAMED = {
    "<root>": ["you@x.test"],
    "<all>": ["you@x.test", "two@x.test"],
    "<you@x.test>": ["you@x.test"],
    "<you@X.TEST>": ["you@x.test"],
    "<two@x.test>": ["two@x.test"],
}


def test_an_alias_adds_one_copy_at_most_in_any_order() -> None:
    """What RCPT itself names twice is there twice, as without aliases."""

    async def main() -> None:
        async with receiving(ON) as reception:
            client = await reception.greeted()
            for many in (1, 2, 3):
                for arguments in product(NAMED, repeat=many):
                    message = await mail_to(reception, *arguments, client=client)
                    found = Counter(str(each.address.compared) for each in message.recipients)
                    named = Counter(NAMED[each][0] for each in arguments if "@" in each)
                    there = {each for argument in arguments for each in NAMED[argument]}
                    assert found == {each: max(named[each], 1) for each in there}, arguments

    run_on("asyncio", main())


def test_on_a_unix_socket(tmp_path: Path) -> None:
    async def main() -> None:
        async with receiving(ON, unix_path=tmp_path / "s") as reception:
            assert envelope(await mail_to(reception, "<root>")) == [("you@x.test", ROOT, None)]

    run_on("asyncio", main())


def test_another_machine_gets_no_mail_to_names_through() -> None:
    """A proxy on this machine speaks for it: who may relay may send to root@ our name, and does that."""

    async def main() -> None:
        options = replace(
            ON, networks=("127.0.0.0/8", "192.0.2.0/24"), xclient_networks=("127.0.0.0/8",)
        )
        async with receiving(options) as reception:
            client = await reception.greeted()
            await client.ask("XCLIENT ADDR=192.0.2.7")
            await client.ask("EHLO app.test")
            await client.ask("MAIL FROM:<app@app.test>")
            assert (await client.ask("RCPT TO:<root>")).startswith("501 5.1.3 ")
            await client.ask("RSET")
            message = await mail_to(reception, f"<root@{FQDN}>", client=client)
            assert envelope(message) == [(f"root@{FQDN}", None, None)]

    run_on("asyncio", main())


REFUSED = {
    "no alias": ("<cron>", "501 5.1.3 "),
    "bad parameter": ("<root> NOTIFY=NO", "501 5.5.4 "),
    "unknown parameter": ("<root> X=Y", "555 5.5.4 "),
    "no name": ("<>", "501 5.1.3 "),
    "no brackets": ("root", "501 5.1.3 "),
    "two words": ("<ro ot>", "501 5.1.3 "),
    "not UTF-8, not ASCII": ("<r\u00f6\u00f6t>", "501 5.1.3 "),
}


@pytest.mark.parametrize(("argument", "reply"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_alias_is_refused_as_ever(argument: str, reply: str) -> None:
    async def main() -> None:
        async with receiving(SOME) as reception:
            client = await reception.greeted()
            await client.ask("MAIL FROM:<app@app.test>")
            assert (await client.ask(f"RCPT TO:{argument}")).startswith(reply)

    run_on("asyncio", main())


def test_who_may_not_relay_may_not_write_to_names() -> None:
    async def main() -> None:
        async with receiving(replace(ON, networks=())) as reception:
            client = await reception.greeted()
            await client.ask("MAIL FROM:<app@app.test>")
            assert (await client.ask("RCPT TO:<root>")).startswith("550 5.7.1 Relaying")

    run_on("asyncio", main())


def test_a_name_comes_in_as_a_whole() -> None:
    """One of its addresses is suppressed: the name is refused, and none of them gets the mail."""

    async def main() -> None:
        async with receiving(replace(ON, refuse_suppressed=True)) as reception:
            await with_history(reception, "two@x.test", a_bounce())
            await with_history(reception, "you@x.test", Relayed())
            client = await reception.greeted()
            await client.ask("MAIL FROM:<app@app.test>")
            assert await client.ask("RCPT TO:<all>") == "550 5.7.1 Recipient is suppressed"
            assert reception.intake.refusals[-1]["rcpt"] == f"all@{FQDN}"
            reception.intake.fault = StoreUnavailable("the disk is on fire")
            assert (await client.ask("RCPT TO:<root>")).startswith("451 4.3.0 ")
            reception.intake.fault = None
            await client.ask("RSET")
            message = await mail_to(reception, "<root>", "<other>", client=client)
            assert [str(each.address) for each in message.recipients] == ["you@x.test", "any@x.test"]  # fmt: skip

    run_on("asyncio", main())
