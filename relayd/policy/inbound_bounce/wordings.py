"""What reports say in words of their own, in the words of a reply.

Owns the translation for `relayd.policy.replies.classify`, which knows the words of servers: mail systems
tell people the same things in sentences.
"""

from relayd.policy.inbound_bounce.phrases import Phrases

# What a name server or all hosts did for now, though the reporter gave up.
OF_THE_MOMENT = Phrases(
    r"(?:unusable|malformed|unexpected|invalid|incomplete|bad|no) (?:answer|reply|response)[^\n]{0,30}(?:name ?server|dns)",
    r"name ?server[^\n]{0,30}(?:fail|unusable|malformed|unexpected|reply)",
    r"type=\w{1,10}: (?!host (?:not found(?!, try)|found))",
)
# What reports say in words of their own, in the words of a reply, which the classifier knows.
IN_OTHER_WORDS = (
    (
        Phrases(
            r"failed \d{1,4} attempts",
            r"envelope expired|delivery expired|message expired",
            r"retry time ?(?:out )?(?:not reached|exceeded)|retry timeout",
            r"after multiple retries",
            r"aborted after",
            r"not delivered within",
            r"for the last \d{1,9} seconds",
            r"all hosts[^\n]{0,40} (?:failing|failed|unreachable)|hosts have been failing",
            r"(?:too long|expired) in (?:the )?queue|in the queue too long",
        ),
        "delivery time expired, message in queue too long",
    ),
    (
        Phrases(
            r"(?:no|null) (?:smtp service|mx\b)|nullmx|no smtp service",
            r"domain[^\n]{0,60} (?:does not|doesn't|do not|will not|won't|never) (?:accept|receive)s? (?:any )?e?-?mail",
        ),
        "556 5.1.10 domain does not accept mail (null MX)",
    ),
    (
        Phrases(
            r"(?:e-?mail )?address(?:es)? (?:you entered )?(?:couldn't|could not|can't|cannot|wasn't|was not|not) (?:be )?found",
            r"invalid final delivery userid",
            r"recipient name is not recognized",
            r"(?:user|recipient|account|addressee)[^\n]{0,60} not listed in|^not listed in",
            r"does not have a final email",
            r"(?:user|recipient) not known|unknown (?:local user|local-part|addressee)|unknown user: ",
            r"e-?mail account does not exist|account does not exist",
            r"ディレクトリのリストにありません",
            r"あて先不明|宛先不明|アドレスが見つかりません",
        ),
        "550 5.1.1 user unknown",
    ),
    (
        Phrases(
            r"domain[^\n]{0,60} (?:couldn't|could not|can't|cannot|was not|wasn't) (?:be )?found",
            r"couldn't find any host (?:named|by that name)",
        ),
        "550 5.1.2 domain not found",
    ),
    (
        Phrases(
            r"exceeds allowed size",
            r"mail ?folder is full",
            r"(?:mail)?box exceeded the local limit",
            r"メールボックス[^。\n]{0,16}(?:一杯|満杯|超過)",
        ),
        "552 5.2.2 mailbox full",
    ),
    (
        Phrases(r"not (?:a )?member of this mailing list", r"groups\.google\.com/support"),
        "550 5.7.1 not authorized to post to this mailing list",
    ),
)
