"""Asking a content checker, rspamd or SpamAssassin's spamd, about messages.

`ask` is one question; `ContentGate` asks for the receiver, a few messages at once, and remembers
whether the checker gives answers. The rules are `relayd.policy.intake.content`'s.
"""

import asyncio

import structlog

from relayd.errors import CheckerDown
from relayd.mail.envelope import NewMessage
from relayd.net.content import rspamd, spamd
from relayd.net.content.sample import Sample
from relayd.policy.intake.content import Scored, Unchecked, Verdict, judge, too_large
from relayd.settings import CheckerKind, ContentSettings

__all__ = ["ContentGate", "Sample", "ask"]

_AT_ONCE = 8  # questions of one worker; the others wait for their turn

log = structlog.get_logger()


async def ask(settings: ContentSettings, sample: Sample) -> Scored:
    """Return what the checker says within its time. Raises CheckerDown."""
    client = rspamd.ask if settings.kind is CheckerKind.RSPAMD else spamd.ask
    seconds = settings.timeout.total_seconds()
    try:
        async with asyncio.timeout(seconds):
            return await client(settings, sample)
    except TimeoutError:
        raise CheckerDown(f"{settings.name}: no answer within {seconds:g} s") from None


class ContentGate:
    """`relayd.ports.outward.ContentChecker`.

    While the checker gives no answers, one message at a time asks whether it is back; the others do
    not wait for what will not come.
    """

    def __init__(self, settings: ContentSettings) -> None:
        self._settings = settings
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._trouble = ""  # why there are no answers
        self._is_probed = False

    async def judge(self, message: NewMessage) -> Verdict:
        rules = self._settings.rules
        if (large := too_large(message.facts.size, rules)) is not None:
            return large
        return judge(await self._found(message), rules)

    async def _found(self, message: NewMessage) -> Scored | Unchecked:
        async with self._turns:
            if not self._trouble:
                return await self._ask(message)
        if self._is_probed:
            return Unchecked(reason=self._trouble)
        self._is_probed = True
        try:
            return await self._ask(message)
        finally:
            self._is_probed = False

    async def _ask(self, message: NewMessage) -> Scored | Unchecked:
        try:
            scored = await ask(self._settings, Sample.of(message))
        except CheckerDown as error:
            self._note(str(error), is_ours=error.is_ours)
            return Unchecked(reason=str(error))
        self._note("")
        return scored

    def _note(self, trouble: str, *, is_ours: bool = False) -> None:
        """Remember whether the checker answers, and say so where that changes."""
        if trouble and not self._trouble:
            fault = "local" if is_ours else "peer"
            log.warning("content_checker_down", fault=fault, reason=trouble)
        elif self._trouble and not trouble:
            log.info("content_checker_up", checker=self._settings.name)
        self._trouble = trouble
