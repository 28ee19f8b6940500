"""Which refusals are about our address, so that the mail may go another way."""

from dataclasses import replace
from datetime import timedelta

import pytest

from relayd.mail.attempt import AttemptFacts, Peer, RouteKind
from relayd.mail.reply import Reply, Stage
from relayd.policy.delivery.fallback import refuses_our_address
from tests.support.clock import START
from tests.support.post import rules

LISTED = "client host [192.0.2.1] blocked using zen.spamhaus.org"


def seen(
    code: int = 550,
    enhanced: str | None = "5.7.1",
    text: str = LISTED,
    route: RouteKind = RouteKind.DIRECT,
) -> AttemptFacts:
    peer = Peer(
        route=route, host="mx.x.test", ip="192.0.2.9", port=25, local_ip="", helo="", tls=None
    )
    return AttemptFacts(
        peer=peer,
        stage=Stage.RCPT,
        reply=Reply(code=code, enhanced=enhanced, lines=(text,)),
        breakdown=None,
        dot_sent=False,
        started_at=START,
        connect_for=timedelta(),
        transaction_for=timedelta(),
    )


CASES = {
    "our address is listed": (True, seen()),
    "without an enhanced code": (True, seen(enhanced=None)),
    "refused for now": (False, seen(450, "4.7.1")),
    "by the smarthost": (False, seen(route=RouteKind.SMARTHOST)),
    "about the recipient": (False, seen(enhanced="5.1.1", text="no such user")),
    "with a code about the recipient": (False, seen(enhanced="5.1.1")),
    "about the mailbox": (False, seen(552, "5.2.2", "mailbox full")),
    "about the message": (False, seen(554, "5.7.1", "message looks like spam")),
    "about the sender's domain": (False, seen(text="sender domain listed at dbl.spamhaus.org")),
    "names the sender's domain": (False, seen(text="blocked: App.test is on zen.spamhaus.org")),
}


@pytest.mark.parametrize(("expected", "facts"), CASES.values(), ids=CASES)
def test_what_a_refusal_is_about(facts: AttemptFacts, *, expected: bool) -> None:
    assert refuses_our_address(facts, "a@app.test", rules()) is expected


def test_mail_without_a_sender_may_go_another_way() -> None:
    assert refuses_our_address(seen(), "", rules())


def test_without_a_reply_nobody_refuses() -> None:
    assert not refuses_our_address(replace(seen(), reply=None), "a@app.test", rules())
