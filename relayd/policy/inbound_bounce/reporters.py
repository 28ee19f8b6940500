"""Tell programs that report on mail from everybody else, by the header section.

Owns the names under which mail systems, postmasters, gateways and list managers write, and what
the subjects of their reports say in the languages of the large providers.

Source: RFC 3464 §2 and RFC 5321 §4.5.5 (null return path); for the rest the mail systems'
documentation.
"""

import re

from relayd.policy.inbound_bounce.address import find_addresses
from relayd.policy.inbound_bounce.mime import Mail
from relayd.policy.inbound_bounce.phrases import Phrases

# Programs that report in the name of a mail system. The From field as a whole, name included.
_MAIL_SYSTEM = Phrases(
    r"mailer[-_. ]?(?:daemon|demon)",
    r"mail[-_. ]*deliver\w{0,12}[-_. ]*(?:sub)?system|\bdelivery[-_. ]*subsystem",
    r"<>",
)
_POSTMASTER = Phrases(r"\bpost[-_. ]?master")
# Roles and gateways that write reports, and other mail as well.
_REPORTER = Phrases(
    r"\A\s*\Z",
    r"\bmail[-_. ]{0,3}(?:administrator|server|system|router|gateway|hub|gate)\b",
    r"\bsys(?:tem)?[-_. ]?admin(?:istrator)?\b|\bmdaemon\b|\bgateway\b|\bmail(?:scanner|sweeper|marshal)",
    r"interscan|anti-?virus|symantec|mimecast|mcafee|\bamavis|\b(?:spam|virus|mail)[-_. ]?(?:filter|wall|guard)\b",
)
# The managers of mailing lists: they reject by mail (fml, Mailman, Majordomo, ezmlm).
_LIST_MANAGER = Phrases(
    r"-(?:admin|owner|request|help|bounces|ctl)@", r"\b(?:majordomo|listserv|fml|sympa|mailman)@"
)
_SUBJECT = Phrases(
    r"undeliver(?:able|ed)|\bnon-?deliver|not (?:be )?(?:deliver(?:ed|able)|sent\b)",
    r"delivery?(?: status)?[ -](?:notification|failure|failed|error|problem|report|status|warning|delay|incomplete)",
    r"(?:failed|failure|problem|permanent|error) (?:in |of |with )?(?:mail |message |e-?mail )?deliver",
    r"return(?:ed|ing)? (?:mail|e-?mail|message|to sender)|\bbounce\b",
    r"(?:mail|message|delivery) (?:delivery )?(?:failed|failure|error|warning|rejected|bounced|returned)",
    r"failure noti(?:ce|fication)|\bfailed mail\b|\bbounced? (?:mail|message|e-?mail)|\bmail failure\b",
    r"(?:mail|message|e-?mail)s? could not be (?:delivered|sent)|error sending your (?:mail|message)",
    r"(?:mail|message)[^\n]{0,20} (?:not accepted|(?:was|has been) (?:rejected|blocked|refused|returned))",
    r"(?:rejected|blocked|refused) (?:mail|message|e-?mail)\b|\bundelivered\b|\bmail returned\b",
    r"unknown (?:user|recipient|address)|user unknown|nondeliverable|mail system error|processing error",
    r"(?:message|mail|delivery)\b.{0,40}\b(?:delayed|postponed|still being retried)|^warning: .{0,60}(?:mail|message)",
    r"nicht zustellbar|unzustellbar|zustell\w{0,12} (?:fehl|nicht)|zur[uü]ckgesandt|fehlgeschlagen|zustellung",
    r"non (?:remis|distribu|d[eé]livr)|non[- ]remise|[eé]chec (?:de|d')|impossible de remettre",
    r"mancat[oa] (?:recapito|consegna)|non recapitat|impossibile (?:recapitare|consegnare)|recapito non riuscito",
    r"no se (?:ha )?(?:puede|pudo|podido) entregar|no entregad|error de entrega|devuel|no se puede entregar",
    r"n[aã]o (?:entreg|foi poss[ií]vel)|falha na entrega|onbestelbaar|niet (?:bezorgd|afgeleverd)",
    r"niedostarcz|nie dostarcz|zwrot|недоставл|не доставлен|не удалось доставить|возврат",
    r"送信エラー|配信(?:エラー|不能|失敗|できません)|不達|メールエラー|退信|投递失败|无法投递|退件|无法送达",
    r"teslim edilemedi|nedoručen|ikke leveret|kunne ikke leveres|kunde inte levereras|ej levererat|배달 실패|반송",
)
_REPLY = re.compile(
    r"^\s{0,20}(?:re|aw|antw|sv|vs|odp|rif|r|ref)\s{0,3}(?:\[\d{1,3}\])?:", re.IGNORECASE
)
_FORWARD = re.compile(r"^\s{0,20}(?:fwd?|wg|tr|rv|i|enc)\s{0,3}:", re.IGNORECASE)
_NULL_PATH = re.compile(r"^\s*(?:<\s*>|<?mailer-daemon(?:@|>|$))", re.IGNORECASE)
_BOUNCE_ADDRESS = re.compile(
    r"(?:^|[-+._=<])(?:bounces?|returns?|return-path|errors|verp)(?:[-+._=]|@)", re.IGNORECASE
)


def is_forward(mail: Mail) -> bool:
    return bool(_FORWARD.search(mail.headers.decoded("subject")))


def is_reply(mail: Mail) -> bool:
    """Its subject begins as that of an answer."""
    return bool(_REPLY.search(mail.headers.decoded("subject")))


def is_mail_system(mail: Mail) -> bool:
    """It says that a mail system wrote it, which neither people nor answering programs do."""
    return "x-failed-recipients" in mail.headers or (
        "from" in mail.headers and _MAIL_SYSTEM.found_in(mail.headers.decoded("from"))
    )


def is_postmaster(mail: Mail) -> bool:
    """Its author is the office of a mail system, program or person."""
    return is_mail_system(mail) or _POSTMASTER.found_in(mail.headers.decoded("from"))


def comes_from_reporter(mail: Mail) -> bool:
    """Its author is a program that reports on mail."""
    named = _REPORTER.found_in(mail.headers.decoded("from"))
    return is_postmaster(mail) or named or has_null_path(mail)


def has_null_path(mail: Mail) -> bool:
    return any(_NULL_PATH.search(mail.headers.get(n)) for n in ("return-path", "x-envelope-from"))


def goes_to_bounce_address(mail: Mail) -> bool:
    """It was sent to an address that only a return path names."""
    return bool(_BOUNCE_ADDRESS.search(mail.headers.get("to")))


def comes_from_list_manager(mail: Mail) -> bool:
    return _LIST_MANAGER.found_in(mail.headers.decoded("from"))


def subject_says_so(mail: Mail) -> bool:
    return _SUBJECT.found_in(mail.headers.decoded("subject"))


def domain_of(mail: Mail) -> str | None:
    """The domain of the author, to which local names in its reports belong."""
    found = find_addresses(mail.headers.decoded("from"))
    return found[0].rpartition("@")[2].lower() if found else None
