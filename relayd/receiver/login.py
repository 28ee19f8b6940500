"""AUTH: where a client may log in, the dialogue, and what it may send because of its account.

A password is asked for only where nobody can listen: under TLS, or inside this machine.

Source: RFC 4954; RFC 3207 §4.2 (forgetting).
"""

from relayd.mail.account import Account
from relayd.mail.reply import Reply, SyntaxRefused
from relayd.policy.intake import admit
from relayd.receiver.dialogue import Dialogue
from relayd.receiver.effects import CheckLogin, Readmit
from relayd.receiver.login_dialogue import MECHANISMS, LoginDialogue
from relayd.receiver.sasl import Credentials
from relayd.receiver.states import Event, State
from relayd.receiver.users import TROUBLE
from relayd.settings import ListenerAuth

FAILURE_LIMIT = 3  # in a session
OFFERED = b"AUTH PLAIN LOGIN"
_NEEDS_ENCRYPTION = Reply(538, "5.7.11", ("5.7.11 Encryption required to log in",))


def is_offered(dialogue: Dialogue) -> bool:
    return dialogue.context.users is not None and dialogue.client.is_private


def refusal_of_auth(dialogue: Dialogue, argument: bytes) -> bytes | None:
    """Say why this is not the time or the place."""
    del argument  # whatever it says
    client = dialogue.client
    if dialogue.context.users is None:
        return b"502 5.5.1 AUTH is not offered\r\n"
    if not client.extended:
        return b"503 5.5.1 Send EHLO first\r\n"
    if client.auth_user is not None:
        return b"503 5.5.1 Already authenticated\r\n"
    if client.mail is not None or client.is_private:
        return None  # the table refuses the one
    needs_tls = client.listener.auth is ListenerAuth.REQUIRED and client.can_start_tls
    return f"{admit.NEEDS_TLS if needs_tls else _NEEDS_ENCRYPTION}\r\n".encode()


def auth(dialogue: Dialogue, argument: bytes, following: State) -> CheckLogin | None:
    dialogue.state = following
    mechanism, _, initial = argument.strip(b" ").partition(b" ")
    mechanism = mechanism.upper()
    if mechanism not in MECHANISMS:
        dialogue.fail(
            b"504 5.5.4 Unrecognized authentication type\r\n"
            if mechanism
            else b"501 5.5.4 Syntax: AUTH mechanism [initial-response]\r\n"
        )
        return None
    dialogue.login = LoginDialogue(mechanism)
    return _advance(dialogue, dialogue.login, initial, is_answer=False)


def answer(dialogue: Dialogue, line: bytes) -> CheckLogin | None:
    """Take the answer to a challenge."""
    assert dialogue.login is not None
    return _advance(dialogue, dialogue.login, line, is_answer=True)


def _advance(
    dialogue: Dialogue, login: LoginDialogue, words: bytes, *, is_answer: bool
) -> CheckLogin | None:
    try:
        following = login.answer(words) if is_answer else login.begin(words)
    except SyntaxRefused as refused:
        dialogue.login = None
        dialogue.move(Event.NO_LOGIN)
        dialogue.refuse(refused.reply)
        return None
    if isinstance(following, Credentials):
        dialogue.login = None
        dialogue.move(Event.CREDENTIALS)
        return CheckLogin(following)
    dialogue.move(Event.CHALLENGED)
    dialogue.owed.append(b"334 %b\r\n" % following)
    return None


def checked(dialogue: Dialogue, result: Account | Reply) -> Readmit | None:
    """The credentials were looked at."""
    dialogue.move(Event.LOGIN_CHECKED)
    if isinstance(result, Account):
        dialogue.client.account, dialogue.client.auth_user = result, result.name
        return Readmit(b"235 2.7.0 Authentication successful\r\n")
    dialogue.failed_logins += result is not TROUBLE
    dialogue.refuse(result)
    if dialogue.failed_logins >= FAILURE_LIMIT:
        dialogue.close(b"421 4.7.0 Too many failed logins\r\n")
    return None


def is_turned_away(dialogue: Dialogue) -> bool:
    """Tell the client, where it is so, that it may send nothing now."""
    client, users = dialogue.client, dialogue.context.users
    account = client.account
    if account is not None and users is not None and users.find(account.name) != account:
        dialogue.close(b"421 4.7.0 Your account has changed, log in again\r\n")
        return True
    if client.listener.auth is not ListenerAuth.REQUIRED or client.auth_user is not None:
        return False
    needs_tls = client.can_start_tls and not client.is_private
    dialogue.refuse(admit.NEEDS_TLS if needs_tls else admit.NEEDS_LOGIN)
    return True
