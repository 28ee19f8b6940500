"""Passwords: what a flood of logins costs a relay and everybody else, and what a stranger learns of who has an account.

That the time of a refusal tells nothing: `unit/receiver/test_users.py`. How many guesses there are, from one source or ten thousand:
`unit/policy/intake/test_login.py`. That guessers keep nobody from logging in: `e2e/test_guessing.py`.
"""

import base64
import threading
from collections import Counter

import pytest

from relayd.accounts.passwords import hash_password, is_password
from relayd.receiver import login_turns
from tests.support.besieged import PASSWORD, USER, WATCHED, Besieged, replies
from tests.support.daemon import CONTENT, eventually
from tests.support.processor import seconds

GUESSERS = 12


def test_how_many_logins_exhaust_a_core() -> None:
    """50 a second, by the 20 ms that a check takes. A worker makes three at once, two of them for strangers: never more than that."""
    hashed = hash_password("right")
    took = min(seconds(lambda: is_password("wrong", hashed)) for _ in range(3))
    print(f"{took * 1000:.1f} ms: {1 / took:.0f} a second")
    assert took > 0.004  # else a stolen file is soon guessed
    assert login_turns.AT_ONCE == 3


def test_a_flood_of_logins_leaves_mail_alone(besieged: Besieged) -> None:
    """12 clients of as many networks guess without a pause: each message of somebody else is taken and sent meanwhile."""
    stopping, codes = threading.Event(), Counter[bytes]()

    def guess(number: int) -> None:
        blob = base64.b64encode(f"\0{USER}{number}\0wrong".encode())
        while not stopping.is_set():
            with besieged.raw(besieged.public, f"127.{number + 100}.0.1") as sock:
                for said in replies(sock, b"EHLO a\r\n", b"AUTH PLAIN " + blob + b"\r\n")[2:]:
                    codes[said[:3]] += 1

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(GUESSERS)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: sum(codes.values()) > GUESSERS, "the flood is there")
        for number in range(10):
            besieged.daemon.send(f"flood{number}@kept.test", content=CONTENT)
        wanted = {f"flood{number}@kept.test" for number in range(10)}
        eventually(lambda: wanted <= set(besieged.smarthost.rcpts), "all are sent")
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert set(codes) <= {b"535", b"454", b"421"}


@pytest.mark.parametrize("command", ["VRFY", "EXPN", "RCPT", "AUTH"])
def test_nobody_learns_who_has_an_account(besieged: Besieged, command: str) -> None:
    """What is said of a user is said of nobody, too."""

    def said_of(user: str, source: str) -> bytes:
        blob = base64.b64encode(f"\0{user}\0not-{PASSWORD}".encode()).decode()
        argument = {"RCPT": f"TO:<{user}@relay.test>", "AUTH": f"PLAIN {blob}"}.get(command, user)
        with besieged.raw(besieged.public, source) as sock:
            begin = [b"EHLO a\r\n", *([b"MAIL FROM:<>\r\n"] if command == "RCPT" else [])]
            return replies(sock, *begin, f"{command} {argument}\r\n".encode())[-1]

    assert said_of(WATCHED, "127.90.1.1") == said_of("nobody", "127.91.1.1")
