"""The sessions of one destination queue with servers: those that come up, and those in a transaction.

Owns how they end when the queue closes, and that an error of ours ends one attempt alone. What is sent over
them, and what follows, is for `attempts`.
"""

import asyncio

import structlog

from relayd.deliverer.attempt import Attempt, stumbled
from relayd.deliverer.nexthop.account import Account
from relayd.deliverer.nexthop.hosts import NextHop, NoHost, NotYet, Session
from relayd.deliverer.recorder import Recorder
from relayd.errors import ContentLost, Shortage
from relayd.mail.ids import format_id
from relayd.ports.outward import Connection, Delivery
from relayd.trace import tracing

log = structlog.get_logger()


class Sessions:
    """Opened and used until `close`; what is in a transaction then goes on, until `cut`."""

    def __init__(self, destination: str, *, hop: NextHop, recorder: Recorder) -> None:
        self._destination = destination
        self._hop = hop
        self._recorder = recorder
        self._opening: set[asyncio.Timeout] = set()
        self._under_way: set[Connection] = set()  # those in a transaction
        self._closed = asyncio.Event()
        self.are_cut = False

    def close(self) -> None:
        """Open no more, and give up those that come up."""
        self._closed.set()
        for opening in self._opening:
            opening.reschedule(asyncio.get_running_loop().time())

    def cut(self, *, after_dot: bool) -> None:
        """Hang up on what is under way; after the final dot only if `after_dot`.

        In front of the dot nothing went: those recipients go back to the store, uncounted. After it nobody knows, and
        that is what gets on record (S-06): as our doing, so that it never gives the mail up.
        """
        self.are_cut = True
        for connection in tuple(self._under_way):
            if after_dot or not connection.is_after_dot:
                connection.cut_off()

    async def open(
        self, before: Session | None, attempt: Attempt, *, wanted: int
    ) -> Session | None:
        """Return the session to go on with after `before`, another one if need be; None after `close`.

        So many messages are wanted to be sent by now. Raises NoHost, NotYet, Shortage.
        """
        account = self._hop.account
        if account is None or account.is_free or attempt.failures:
            return await self._open(before, attempt)
        may_begin = False
        try:
            may_begin = await self._permitted(account, wanted)
        finally:
            if not may_begin and before is not None:
                await self._hop.give_back(before)
        return await self._open(before, attempt) if may_begin else None

    async def _open(self, before: Session | None, attempt: Attempt) -> Session | None:
        facts = attempt.facts
        if before is not None:
            if not attempt.failures and self._hop.keeps(before, facts):
                if tracing.is_on:
                    tracing.chosen(before.connection.peer, "the connection is open already")
                return before
            await self._hop.give_back(before)
        if self._closed.is_set():
            return None
        try:
            async with asyncio.timeout(None) as opening:  # until `close`
                self._opening.add(opening)
                try:
                    return await self._hop.connect(attempt.failures, facts, attempt.message.id)
                finally:
                    self._opening.discard(opening)
        except (NoHost, NotYet, Shortage):
            raise
        except OSError as error:  # TimeoutError is one
            if self._closed.is_set():
                return None
            # A system call of ours: what peers do has other names.
            raise Shortage(error.strerror or str(error)) from error
        except Exception as bug:
            queue_id = format_id(attempt.message.id)
            log.exception("attempt_failed", queue_id=queue_id, fault="local")
            failure = stumbled(self._destination, self._recorder.internal_error(None))
            raise NoHost((*attempt.failures, failure)) from bug

    async def _permitted(self, account: Account, wanted: int) -> bool:
        """Wait until a transaction may begin; tell False after `close`. Raises NotYet."""
        if self._closed.is_set():
            return False
        try:
            async with asyncio.timeout(None) as waiting:
                self._opening.add(waiting)
                try:
                    await account.permit(wanted)
                finally:
                    self._opening.discard(waiting)
        except TimeoutError:
            return False
        return True

    async def deliver(self, attempt: Attempt, connection: Connection) -> Delivery:
        """Run one transaction; a bug that one message trips over must not stop the others. Raises Shortage."""
        self._under_way.add(connection)
        try:
            return await connection.deliver(attempt.message, attempt.recipients, attempt.content)
        except Shortage:  # as for lost content; but the file is there
            raise
        except ContentLost as lost:  # in front of the final dot, which goes with the last of it
            connection.abort()
            facts = self._recorder.without_content(connection.peer, attempt.work, lost)
            return Delivery(facts=(facts,) * len(attempt.recipients))
        except Exception:
            queue_id = format_id(attempt.message.id)
            log.exception("attempt_failed", queue_id=queue_id, fault="local")
            connection.abort()
            internal_error = self._recorder.internal_error(connection.peer)
            return Delivery(facts=(internal_error,) * len(attempt.recipients))
        finally:
            self._under_way.discard(connection)
