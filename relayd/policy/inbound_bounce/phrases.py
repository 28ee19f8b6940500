"""The words by which mail systems say that something was not delivered.

Owns the tables that the text reader searches: what sentences look like in the languages of the
large providers, where the returned message begins, and which words mean "not yet". Every entry
covers a wording that mail systems document or share, none a single mail.
"""

import re


class Phrases:
    """Phrases in lower case, one of which may be in a text.

    Each has one gap at most, so that no text costs more than its length times a constant. They are
    searched one by one: apart, a pattern skips quickly to where its first letters are.
    """

    def __init__(self, *phrases: str) -> None:
        self.patterns = tuple(map(re.compile, phrases))

    def found_in(self, text: str) -> bool:
        lowered = text.lower()
        return any(pattern.search(lowered) for pattern in self.patterns)


# Words for "was not delivered". The recipients are after them or in the same sentence.
_NOT_DELIVERED = (
    (
        r"(?:could|can|would|was|were|has|have|been|is|are|did|does|will) ?(?:not|n't|n\u2019t) (?:\w{1,12} )?"
        r"(?:be |been )?(?:yet )?(?:deliver|sent\b|send\b|reach|receiv|transmi|forwarded|processed|accepted)"
    ),
    r"(?:un|not |in)(?:able|possible) to (?:be )?(?:deliver|sen[dt]|reach|route|complete|relay|forward|transmi)",
    r"undeliver|\bnon-?deliver",
    r"not (?:be |been )?delivered\b|cannot deliver\b",
    r"(?:fail|refus|declin)\w{0,4} to (?:be )?(?:deliver|sen[dt]|reach|accept|receive)",
    r"delivery?(?: attempts?| of)?\b[^\n]{0,50} (?:failed|failure|aborted|error|problems?|delayed|postponed|unsuccessful)\b",
    r"(?:failed|failure|error|problem|trouble|unsuccessful)[^\n]{0,40}\b(?:deliver|sending)",
    r"\b(?:was|were|been|is being|are being|is|are) (?:automatically )?(?:returned|rejected|refused|bounced)\b",
    r"did not receive (?:a copy of )?(?:this|your|the) message|returned to (?:the )?sender",
    r"(?:message|mail|delivery)\b[^\n]{0,40} (?:was|were|has been|have been) (?:stopped|blocked|discarded)\b",
    r"(?:message|mail)\b[^\n]{0,50} failed\b",
    r"(?:failed|rejected|undeliverable|invalid) (?:addresses|recipients?)\b",
    # other languages
    r"nicht [^\n]{0,50}(?:zugestellt|zustellbar|ausgeliefert|erreicht|übermittelt|zugeliefert|gesendet)|unzustellbar",
    r"zustell\w{0,12} (?:ist )?(?:fehlgeschlagen|gescheitert|nicht möglich)|fehlgeschlagen",
    r"n'a pas (?:pu )?(?:ê|e)t(?:re|é) (?:remis|distribu|délivr|envoy|achemin)|n'a pu être|non remis|pas pu être (?:remis|délivr|distribu)",
    r"(?:échec|echec) (?:de|d')|n'est pas parvenu|impossible de (?:joindre|remettre|délivrer|distribuer|livrer)",
    r"non (?:è stato|e' stato|ha potuto|è stata?|è possibile) ?(?:possibile|recapita|consegna)|impossibile (?:recapitare|consegnare|inviare)",
    r"no se (?:ha |han )?(?:podido|pudo|puede|pudieron) (?:entregar|enviar)|no (?:pudo|ha podido) ser entregad|error al entregar",
    r"n[aã]o (?:p[oô]de|foi|puderam|foram) (?:ser )?(?:entregue|possível|enviad)|falha na entrega",
    r"niet (?:worden )?(?:bezorgd|afgeleverd|verzonden)|kon niet |nie (?:została?|mo[zż]na|mogła)[^\n]{0,20} (?:dostarcz|doręcz)",
    r"не (?:может быть |могло быть |удалось |было |была |был )?(?:доставлен|доставить)|недоставлен",
    r"(?:送信|配信|送付|配送|お届け|配達)[^。\n]{0,12}(?:でき(?:ません|ず)|失敗|不能|エラー)|届きませんで",
    r"(?:无法|未能|不能)(?:投递|送达|发送|傳送|递送)|投递失败|無法(?:投遞|傳送|送達)|退信|退回|배달되지|전송되지|전송할 수 없",
    r"teslim edilemedi|doručen[aoý]? nebyl|nebyl[aoi]? (?:možné )?doručen|kunde inte levereras|kunne ikke leveres|voitu toimittaa",
)
NOT_DELIVERED = Phrases(*_NOT_DELIVERED)

# What is sent, or to whom: with NOT_DELIVERED in one sentence it is surely mail that failed.
_MAIL = Phrases(
    r"\b(?:e-?)?mails?\b|\bmessages?\b|\brecipients?\b|\bmailbox\b|\baddress(?:es|ees?)?\b|@",
    r"nachricht|mitteilung|empfänger|courriel|destinat|mensaje|correo|mensagem|messaggio|bericht|wiadomo|odbiorc",
    r"сообщени|письм|получател|メール|あて先|宛先|送信|邮件|郵件|信件|メッセージ|메일|메시지|meddeland|besked|zpráv|ileti",
)
# A summary of what a filter keeps from its reader.
_TO_YOU = Phrases(r"(?:delivered|forwarded|addressed) to you\b", r"quarantine")
_MAIL_FAILED = Phrases(
    r"transcript of (?:the )?session|mail (?:log )?failed|failed (?:addresses|recipients?)",
    r"(?:invalid|unknown) user (?:address|id)|no such user|user unknown|unknown user",
    r"(?:recipient|address)(?:s|es)?(?:\(e?s\))?\b[^\n]{0,40}(?:failed\b|delivery (?:error|problem)|fatal error)",
)
_SENTENCE_END = re.compile(r"[.!?]\s|。|\n[ \t]*\n")


def sentences(text: str) -> list[str]:
    """Each with its words on one line; an empty line ends one, too."""
    return [" ".join(one.split()) for one in _SENTENCE_END.split(text)]


def tells_of_lost_mail(text: str) -> bool:
    """A sentence says that mail, not something else, did not arrive."""
    if _MAIL_FAILED.found_in(text):
        return True
    return any(
        NOT_DELIVERED.found_in(one) and _MAIL.found_in(one) and not _TO_YOU.found_in(one)
        for one in sentences(text)
    )


# Sentences that announce a failure, in mail that a mail system wrote.
FAILED = Phrases(
    *_NOT_DELIVERED,
    r"\bnot accepted\b",
    r"(?:permanent|fatal|delivery|transient)[^\n]{0,12} errors?\b|has encountered an error",
    r"failed (?:addresses|recipients?)|address(?:es)?(?:\(es\))? failed|had delivery errors",
    r"(?:recipients?|address(?:es)?)[^\n]{0,30} (?:failed|rejected|were refused|(?:were|are|was|is) (?:unknown|invalid)|did not receive)",
    r"was rejected (?:by|for)|rejected recipient|returned permanent errors",
    r"transcript of (?:the )?session|failure reasons?|error (?:message|details?|type)\b",
    r"giv(?:en|ing) up\b|invalid final delivery|exceeds allowed size",
    r"has been returned because|being returned|retry time(?:out)? |queue too long",
    r"(?:no such|unknown|invalid|non-?existent) (?:user|recipient|mailbox|address|account|host|domain)",
    r"(?:host|domain)(?: name)? (?:unknown|not found)",
    r"(?:user|recipient|mailbox|address|account)[^\n]{0,20} (?:unknown|not found|unavailable|full|quota|over)",
    r"(?:does|did) not (?:\w{1,20} )?(?:exist|match)|doesn't (?:exist|have)|not listed in",
    r"not (?:a |yet )?member of (?:this|the)|may not exist|no longer (?:valid|in use|active)",
    r"incorrectly constructed|malformed address|(?:delivery|message)[^\n]{0,30} delayed",
    r"あて先不明|宛先不明|(?:メール|受信)ボックス[^。\n]{0,16}(?:一杯|満杯|超過)",
)

# The report speaks of a delay, and of further tries.
NOT_YET = Phrases(
    r"(?:has|have) not yet been deliver|not yet been delivered|delivery (?:has been|is|was) (?:delayed|postponed)",
    r"(?:is|was|been) (?:delayed|postponed)\b|message delayed|delayed mail|mail delay|delivery delay|delivery incomplete",
    r"(?:will|shall) (?:be retried|retry|(?:keep|continue|go on) (?:to )?(?:try|retry|be)|try again|continue to\b)",
    r"(?:attempts|retries) will continue|warning message only|this is (?:only )?a warning\b|still trying to deliver",
    r"transient non-?fatal errors|still undelivered|temporary failure report|temporarily deferred",
    r"still being retried|do not need to resend|still in (?:the )?queue|remains in (?:the )?queue",
    r"verzögert|weiterhin versucht|zustellversuche werden|retard(?:é|ée)\b|sera retent|se ha retrasado|in ritardo",
    r"atrasad|opóźni|задерж|отложен|(?:配信|配達)が遅|再送(?:を続|します|を試)|延迟|延遲",
)


def announces(text: str) -> bool:
    """The text says that something failed, or waits."""
    return FAILED.found_in(text) or NOT_YET.found_in(text)


# It says that there will be no further try, whatever the replies said that it quotes.
FINAL = Phrases(
    r"permanent(?:ly)? (?:fatal |delivery )?(?:errors?|failures?|failed|undeliverable)|failed permanently",
    r"\b(?:i've|i have|we have|has been|was) given up\b|not going to try again|in the queue too long",
    r"\bno (?:further|more) (?:delivery )?attempts|will not be (?:retried|attempted|tried)|won't (?:try|retry)",
    r"(?:will be|was|been) (?:deleted|removed) from (?:the )?queue|retry time(?:out)? exceeded|giving up after",
    r"(?:message|delivery|delivery time|retry time(?:out)?) (?:has )?expired|did not succeed within",
)

# The report speaks of success.
ARRIVED = Phrases(
    r"success(?:ful|fully) (?:deliver|relay)|successful (?:mail )?delivery",
    r"(?:was|were|has been|have been) (?:successfully )?delivered (?:to|on)\b|delivery receipt",
)

# After such a line comes the message that came back.
ORIGINAL_FOLLOWS = Phrases(
    r"^[\W_]{0,80}(?:"
    r"(?:the )?original (?:e-?mail |mail )?(?:message|mail|letter)s?(?: info| details?| headers?)?"
    r"(?: (?:as received )?(?:is as )?follows?| is (?:included|attached))?[\W_]{0,80}$"
    r"|(?:below (?:this line )?is|this is|here is|included is|attach\w{0,12} is|following is)\b"
    r".{0,24}\b(?:copy|headers?|original|returned|part of)\b.{0,80}$"
    r"|(?:start|beginning|begin) of (?:the )?(?:returned|original|forwarded) (?:message|mail)"
    r"|(?:unsent|undelivered|returned|failed|rejected|bounced) (?:e-?mail|mail|message)"
    r"(?: text| body| headers?)?(?: (?:follows?|below))?[\W_]{0,80}$"
    r"|(?:the )?(?:message|mail)s?(?: or)? ?(?:headers?|text|body|contents?|source)"
    r".{0,24}\bfollows?[\W_]{0,80}$"
    r"|(?:the )?headers? (?:and|of) .{0,60}(?:follow|message|mail)"
    r"|original message (?:as received is )?as follows"
    r"|(?:your message reads|a summary of the undelivered|(?:first|top) \d+ lines)"
    r"|(?:copia del mensaje|message d'origine|ursprüngliche nachricht|messaggio originale)"
    r"|(?:oryginalna wiadomo|исходное сообщение|元のメッセージ|(?:以下|下記).{0,12}(?:原文|元の?メール))"
    r")"
)
ORIGINAL_FIELD = re.compile(
    r"^(?:Return-Path|Received|DKIM-Signature|DomainKey-Signature|X-Received|ARC-Seal|"
    r"Message-I[Dd]|MIME-Version)[ \t]*:",
    re.IGNORECASE,
)

# How a list manager refuses a posting.
NOT_A_MEMBER = Phrases(
    r"not (?:a |yet a )?member of (?:this|the)|not (?:allowed|permitted|authori[sz]ed) to (?:post|send)",
    r"your (?:message|mail|e-?mail|post|posting|submission)\b[^\n]{0,60} (?:rejected|refused|not accepted)",
)
# What a mail server tells the owner of a mailbox about it.
YOUR_MAILBOX = Phrases(
    r"your (?:mailbox|inbox|account|quota|storage)\b[^\n]{0,40}(?:full|quota|limit|exceed|used|size|%)"
)

# Lines that name an address without accusing it.
HELP_LINE = Phrases(
    r"(?:contact|assistance|support|help|questions?|\bask|\btell|inform|notify|send (?:mail|e-?mail) to|write to|forward)\b"
    r"[^@\n]{0,60}$",
    r"^[>\s]{0,20}(?:from|sender|reply-to|return-path|mail from|message-id|subject|date|sent|cc|bcc|"
    r"received|references|hello|hi|dear)\b",
    r"(?:mail from|sent by|from|sender|by sending|on behalf of|wrote)[:\s]{0,4}[<\"']*$",
    r"mailto:|https?:|envelope-from",
)
