"""Test mail: sent through the running daemon and the smarthost; its own page then shows what becomes of it."""

import asyncio
from functools import partial

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response

from relayd.console.asked import Asked
from relayd.control import client
from relayd.control.people import note_to_json
from relayd.mail.address import Address, PathError, parse_address
from relayd.ports.people import Deed
from relayd.test_mail import SUBJECT, MailRefused, make_mail, submit


async def show(asked: Asked) -> Response:
    return asked.page(
        "test_mail.html",
        sender=f"postmaster@{asked.console.naming.fqdn()}",
        smarthosts=[str(each) for each in asked.console.settings.smarthost.hosts],
        subject=SUBJECT,
    )


async def send(asked: Asked) -> Response:
    """Send one, on record, and lead to its page."""
    settings = asked.console.settings
    to, sender = _address(asked, "to", "the recipient"), _address(asked, "from", "the sender")
    subject = asked.text("subject") or SUBJECT
    if not subject.isprintable():
        raise HTTPException(400, "the subject is not printable text")
    deed = Deed("test_mail", str(to), f"from {sender}")
    await asked.change(partial(client.ask, request=note_to_json(deed)))
    mail = make_mail(asked.console.naming.fqdn(), sender, to, subject=subject, at=asked.now)
    try:
        _, answer = await asyncio.to_thread(submit, settings, mail)
    except MailRefused as refused:
        raise HTTPException(409, str(refused)) from refused
    return asked.done(f"/messages/{answer.rpartition(' ')[2]}", QueryParams(), "test_mail")


def _address(asked: Asked, name: str, what: str) -> Address:
    text = asked.needed(name, what)
    try:
        return parse_address(text)
    except PathError as wrong:
        raise HTTPException(400, f"{text!r} is no address: {wrong}") from wrong
