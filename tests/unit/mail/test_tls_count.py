"""What TLS reports count is kept as text, and found again by a short key."""

from relayd.mail.tls_count import CountedPolicy, PolicyKind, digest_of, read_counted

POLICY = CountedPolicy(
    kind=PolicyKind.STS, domain="a.test", lines=("version: STSv1",), hosts=("*.a.test",)
)


def test_a_policy_is_read_back() -> None:
    assert read_counted(POLICY.text) == POLICY


def test_a_key_is_of_all_texts_and_their_order() -> None:
    assert digest_of((POLICY.text, "x")) == digest_of((POLICY.text, "x"))
    keys = {digest_of(each) for each in (("a", "b"), ("b", "a"), ("ab", ""), ("ab",), ("\ud800",))}
    assert len(keys) == 5
    assert {len(key) for key in keys} == {16}
