"""What the audit says of a request: what, to whom, why; in one line, and found by its target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.control.acts import ActRequest, act_to_json
from relayd.control.content import ContentRequest, content_to_json
from relayd.control.deeds import deed_of
from relayd.control.pauses import PauseRequest, ResumeRequest, pause_to_json, resume_to_json
from relayd.control.protocol import Message
from relayd.control.suppress import suppress_to_json, unsuppress_to_json
from relayd.mail.ids import parse_id
from relayd.mail.operator import Action
from relayd.mail.pause import Named, Scope, Side
from relayd.mail.suppression import ToSuppress
from relayd.mail.text import is_shown
from relayd.ports.people import DETAIL_LIMIT, Deed
from relayd.ports.view import Query, Status

ID = "0CNA0NJ6E0401"
MESSAGE = Query(message_id=parse_id(ID))
SEVERAL = Query(tag=("a", "b"), status=(Status.DEFERRED,))
SENDER = Named(Scope.SENDER, "a@x.test")
DELIVERY = frozenset({Side.DELIVERY})
CASES: list[tuple[Message, Deed]] = [
    (
        act_to_json(ActRequest(query=MESSAGE, action=Action.HOLD, reason="wrong prices")),
        Deed("hold", ID, "wrong prices"),
    ),
    (
        act_to_json(ActRequest(query=SEVERAL, action=Action.DROP, limit=9)),
        Deed("drop", "tag a b, status deferred"),
    ),
    (act_to_json(ActRequest(query=Query(), action=Action.DROP, everything=True)), Deed("drop", "")),
    (
        content_to_json(ContentRequest(message_id=parse_id(ID), reason="asked to")),
        Deed("content", ID, "asked to"),
    ),
    (unsuppress_to_json("a@x.test"), Deed("unsuppress", "a@x.test")),
    (
        suppress_to_json([ToSuppress(address="a@x.test", reason="asked")]),
        Deed("suppress", "addresses rcpt a@x.test reason asked"),
    ),
    (
        pause_to_json(PauseRequest(names=[SENDER], sides=DELIVERY, reason="fix")),
        Deed("pause", "rules sender a@x.test, sides delivery", "fix"),
    ),
    (
        resume_to_json(ResumeRequest(rules=None, sides=DELIVERY)),
        Deed("resume", "rules all, sides delivery"),
    ),
    ({"verb": "compact"}, Deed("compact")),
    (
        {"verb": "trace", "queue_id": ID, "content": True},
        Deed("trace", f"queue_id {ID}, content True"),
    ),
]


@pytest.mark.parametrize(("request_", "deed"), CASES)
def test_what_the_audit_says(request_: Message, deed: Deed) -> None:
    assert deed_of(request_) == deed


def test_a_long_request_is_cut() -> None:
    deed = deed_of({"verb": "x", "rcpt": "\x00a" * 500_000, "reason": "b" * 9999})
    assert len(deed.target) <= DETAIL_LIMIT
    assert len(deed.detail) == DETAIL_LIMIT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below),
    max_leaves=8,
)
KEYS = st.sampled_from(["verb", "action", "selector", "reason", "rcpt", "x"]) | st.text(max_size=3)


@given(st.dictionaries(KEYS, JSON, max_size=5))
def test_whatever_is_asked_is_one_line(request: dict[str, object]) -> None:
    deed = deed_of(request)
    assert all(map(is_shown, (deed.action, deed.target, deed.detail)))
