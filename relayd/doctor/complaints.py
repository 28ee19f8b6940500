"""How many complaints came about our mail, from the tally."""

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta

from relayd.doctor.context import CheckContext
from relayd.errors import StoreError
from relayd.mail.tally import Dimension
from relayd.policy.doctor.complaints import judge_complaints, sent_mail
from relayd.policy.doctor.finding import Finding
from relayd.ports.tally import TallyQuery
from relayd.store import open_view

_DAYS = 7


async def check_complaints(context: CheckContext) -> Sequence[Finding]:
    """Judge the last week; nothing where the queue cannot be read, which another check tells."""
    since = context.clock.now() - timedelta(days=_DAYS)
    try:
        with closing(open_view(context.settings.store.url)) as view:
            answer = view.tally(TallyQuery(by=Dimension.SENDER, since=since))
    except StoreError:
        return []
    mails = (sent_mail(row.value, row.counts) for row in answer.rows)
    return list(judge_complaints(mails, days=_DAYS))
