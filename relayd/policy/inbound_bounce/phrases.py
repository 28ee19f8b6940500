"""The words by which mail systems say that something was not delivered.

Owns the tables that the text reader searches: who writes such mails, what their subjects and
sentences look like in the languages of the large providers, where the returned message begins,
and which words mean "not yet". Every entry covers a wording that mail systems document or share,
none a single mail. Patterns are searched line by line and have no nested repetition.
"""

import re


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{one})" for one in alternatives), re.IGNORECASE)


# Programs that report in the name of a mail system. The From field as a whole, name included.
MAIL_SYSTEM = _any(
    r"mailer[-_. ]?(?:daemon|demon)",
    r"mail[-_. ]*deliver\w{0,12}[-_. ]*(?:sub)?system|\bdelivery[-_. ]*subsystem",
    r"<>|^\s*$",
)
# Roles and gateways that write reports, and other mail as well.
REPORTER = _any(
    r"\bpost[-_. ]?master",
    r"\bmail[-_. ]*(?:administrator|server|system|router|gateway|hub|gate)\b",
    r"\bsys(?:tem)?[-_. ]*admin(?:istrator)?\b|\bmdaemon\b|interscan|anti-?virus|symantec|mimecast|mcafee",
)
# The managers of mailing lists: they reject by mail (fml, Mailman, Majordomo, ezmlm).
LIST_MANAGER = _any(r"-(?:admin|owner|request|help|bounces|ctl)@", r"\b(?:majordomo|listserv|fml)@")

NOT_A_MEMBER = _any(
    r"not (?:a |yet a )?member of (?:this|the)|not (?:allowed|permitted|authori[sz]ed) to post",
    r"(?:message|mail|posting)[^\n]{0,60}\b(?:was|been|is) (?:automatically )?(?:rejected|refused)",
)

SUBJECT = _any(
    r"undeliver(?:able|ed)|\bnon-?deliver|not (?:be )?deliver(?:ed|able)",
    r"delivery?(?: status)?[ -](?:notification|failure|failed|error|problem|report|status)",
    r"(?:failed|failure|problem|permanent|error) (?:in |of |with )?(?:mail )?deliver",
    r"return(?:ed|ing)? (?:mail|e-?mail|message|to sender)",
    r"(?:mail|message|delivery) (?:delivery )?(?:failed|failure|error|rejected|bounced|returned)",
    r"failure noti(?:ce|fication)|\bfailed mail\b|\bbounced? (?:mail|message|e-?mail)",
    r"(?:mail|message|e-?mail)s? could not be (?:delivered|sent)|error sending your (?:mail|message)",
    r"unknown user|user unknown|nondeliverable|mail system error|processing error",
    r"(?:message|mail|delivery)\b.{0,40}\b(?:delayed|still being retried)|^warning: .*(?:mail|message)",
    r"nicht zustellbar|unzustellbar|zustell\w{0,12} (?:fehl|nicht)|zur[uü]ckgesandt|fehlgeschlagen",
    r"non (?:remis|distribu|d[eé]livr)|non[- ]remise|[eé]chec (?:de|d')|impossible de remettre",
    r"mancat[oa] (?:recapito|consegna)|non recapitat|impossibile recapitare",
    r"no se (?:ha )?(?:puede|pudo|podido) entregar|no entregad|error de entrega|devuel",
    r"n[aã]o (?:entreg|foi poss[ií]vel)|falha na entrega|onbestelbaar|niet (?:bezorgd|afgeleverd)",
    r"niedostarcz|nie dostarcz|zwrot|недоставл|не доставлен|возврат",
    r"送信エラー|配信(?:エラー|不能|失敗|できません)|不達|メールエラー|退信|投递失败|无法投递|退件",
)

# A failure that is surely one of mail: it names a message or whom it did not reach.
MAIL_FAILED = _any(
    r"(?:message|mail|e-?mail)s?\b[^\n]{0,80}(?:not|n't|un)[^\n]{0,30}(?:deliver|reach)",
    r"(?:not|n't|un)(?:able)?\b[^\n]{0,30}(?:deliver|reach|send)[^\n]{0,40}(?:message|mail|recipient)",
    r"(?:not|n't|un|fail\w{0,12})[^\n]{0,40}(?:deliver|reach)\w{0,12}[^\n]{0,40}(?:recipient|mailbox|address|@)",
    r"delivery?\b[^\n]{0,60}(?:recipient|mailbox|address)[^\n]{0,60}(?:fail|abort|delay|reject)",
    r"(?:recipient|address)(?:s|es)?(?:\(e?s\))?\b[^\n]{0,60}(?:fail|reject|not (?:be )?(?:deliver|receiv|reach)"
    r"|delivery (?:error|problem)|fatal error)",
    r"undeliver(?:able|ed) (?:mail|message)|(?:mail|message) (?:was |is |being )?returned to sender",
    r"transcript of (?:the )?session|mail (?:log )?failed|failed (?:addresses|recipients?)",
    r"(?:invalid|unknown) user (?:address|id)|no such user|user unknown|unknown user",
    r"(?:nachricht|mail|mitteilung)[^\n]{0,60}nicht[^\n]{0,30}(?:zustell|zugestellt|ausgeliefert)",
    r"(?:message|courriel|mail)[^\n]{0,60}(?:pas|non)\b[^\n]{0,30}(?:remis|distribu|d[eé]livr)",
    r"(?:mensaje|correo|mensagem|messaggio|e-?mail)[^\n]{0,60}\bn(?:o|ão|ao|on)\b[^\n]{0,40}"
    r"(?:entreg|recapit|consegn|enviad)",
    r"(?:bericht|wiadomo\w{0,12}|сообщение|письмо)[^\n]{0,60}(?:niet|nie|не)\b[^\n]{0,40}"
    r"(?:bezorg|afgelever|dostarcz|доставлен)",
    r"メール[^。\n]{0,30}(?:送信|配信|送付|配送|お届け|配達)[^。\n]{0,12}(?:でき(?:ません|ず)|失敗|不能|エラー)",
    r"(?:邮件|郵件|信件)[^。\n]{0,20}(?:无法|未能|不能|無法|失败|失敗|退)",
)
# Sentences that announce a failure, in mail that a mail system wrote. The recipients stand behind or inside them.
FAILED = _any(
    # English, by the word for the act
    r"(?:could|can|would|was|were|has|have|been|is) ?n[o']t (?:be |been )?(?:yet )?(?:deliver|sent\b|reach)",
    r"(?:could|was|did) not (?:be )?(?:deliver|sen[dt]\b|reach)",
    r"(?:un|not |in)(?:able|possible) to (?:deliver|send|reach|route)",
    r"undeliver(?:able|ed)\b|\bnon-?deliverable|\bnot delivered\b|\bnot accepted\b",
    r"delivery?(?: attempts?)?[^\n]{0,60}\b(?:failed|failure|aborted|error|problems?)\b",
    r"(?:failed|error|problem|trouble)[^\n]{0,40}\bdeliver",
    r"(?:permanent|fatal|delivery|transient)[^\n]{0,12} errors?\b|has encountered an error",
    r"failed (?:addresses|recipients?)|address(?:es)?(?:\(es\))? failed|had delivery errors",
    r"(?:recipients?|address(?:es)?)[^\n]{0,30} (?:failed|rejected|were refused|did not receive)",
    r"did not receive (?:a copy of )?(?:this|your|the) message",
    r"(?:mail|message)s?\b[^\n]{0,40}\b(?:was|were|been|is being) (?:returned|rejected|refused|bounced)",
    r"was rejected (?:by|for)|rejected recipient|returned permanent errors",
    r"transcript of (?:the )?session|failure reasons?|error (?:message|details?|type)\b",
    r"giv(?:en|ing) up\b|invalid final delivery|exceeds allowed size|returned to sender",
    r"has been returned because|being returned|retry time(?:out)? |queue too long",
    r"(?:no such|unknown|invalid|non-?existent) (?:user|recipient|mailbox|address|account|host|domain)",
    r"(?:host|domain)(?: name)? (?:unknown|not found)",
    r"(?:user|recipient|mailbox|address|account)[^\n]{0,20} (?:unknown|not found|unavailable|full|quota|over)",
    r"(?:does|did) not (?:\w+ )?(?:exist|match)|doesn't (?:exist|have)|not listed in",
    r"not (?:a |yet )?member of (?:this|the)|may not exist|no longer (?:valid|in use|active)",
    r"incorrectly constructed|malformed address|(?:delivery|message)[^\n]{0,30} delayed",
    # other languages
    r"nicht (?:zugestellt|zustellbar|ausgeliefert|erreicht|übermittelt)|unzustellbar|fehlgeschlagen",
    r"n'a pas (?:pu )?(?:ê|e)t(?:re|é) (?:remis|distribu|délivr|envoy)|n'a pu être|non remis",
    r"non (?:è stato|e' stato|ha potuto|è stata?) (?:possibile|recapitat|consegnat)|impossibile",
    r"no se (?:ha |han )?(?:podido|pudo|puede|pudieron) entregar|no (?:pudo|ha podido) ser entregad",
    r"n[aã]o (?:p[oô]de|foi|puderam|foram) (?:ser )?(?:entregue|possível|enviad)",
    r"niet (?:worden )?(?:bezorgd|afgeleverd)|nie (?:została?|mo[zż]na|mogła)[^\n]{0,20} dostarcz",
    r"не (?:может быть |могло быть |было |был )?доставлен|недоставлен",
    r"(?:送信|配信|送付|配送|お届け|配達)[^。\n]{0,12}(?:でき(?:ません|ず)|失敗|不能|エラー)|届きませんで",
    r"あて先不明|宛先不明|(?:メール|受信)ボックス[^。\n]{0,16}(?:一杯|満杯|超過)",
    r"(?:无法|未能|不能)(?:投递|送达|发送|傳送|递送)|投递失败|無法(?:投遞|傳送|送達)|退信|배달되지|전송되지",
)

# The report speaks of a delay, and of further tries.
NOT_YET = _any(
    r"(?:has|have) not yet been deliver|not yet been delivered|delivery (?:has been|is|was) delayed",
    r"(?:is|has been) delayed:|recipients? has been delayed|message delayed|delayed mail",
    r"(?:will|shall) (?:be retried|(?:keep|continue) (?:to )?(?:try|retry|be)|try again)",
    r"(?:attempts|retries) will continue|warning message only|this is a warning only",
    r"transient non-?fatal errors|still undelivered|temporary failure report|temporarily deferred",
    r"still being retried|do not need to resend|will continue (?:to be made|for)",
)

# The report speaks of success.
ARRIVED = _any(
    r"success(?:ful|fully) (?:deliver|relay)|successful (?:mail )?delivery",
    r"(?:was|were|has been|have been) (?:successfully )?delivered (?:to|on)\b|delivery receipt",
)

# Behind such a line stands the message that came back.
ORIGINAL_FOLLOWS = _any(
    r"^[\W_]*(?:the )?original (?:e-?mail |mail )?(?:message|mail|letter)s?(?: info| details?| headers?)?"
    r"(?: (?:as received )?(?:is as )?follows?| is (?:included|attached))?[\W_]*$",
    r"^[\W_]*(?:below (?:this line )?is|this is|here is|included is|attach\w{0,12} is|following is)\b"
    r".{0,24}\b(?:copy|headers?|original|returned|part of)\b.{0,80}$",
    r"^[\W_]*(?:start|beginning|begin) of (?:the )?(?:returned|original|forwarded) (?:message|mail)",
    r"^[\W_]*(?:unsent|undelivered|returned|failed|rejected|bounced) (?:e-?mail|mail|message)"
    r"(?: text| body| headers?)?(?: (?:follows?|below))?[\W_]*$",
    r"^[\W_]*(?:the )?(?:message|mail)s?(?: or)? ?(?:headers?|text|body|contents?|source)"
    r".{0,24}\bfollows?[\W_]*$",
    r"^[\W_]*(?:the )?headers? (?:and|of) .{0,60}(?:follow|message|mail)",
    r"^[\W_]*original message (?:as received is )?as follows",
    r"^[\W_]*(?:your message reads|a summary of the undelivered|(?:first|top) \d+ lines)",
    r"^[\W_]*(?:copia del mensaje|message d'origine|ursprüngliche nachricht|messaggio originale)",
    r"^[\W_]*(?:oryginalna wiadomo|исходное сообщение|元のメッセージ|(?:以下|下記).{0,12}(?:原文|元の?メール))",
)
ORIGINAL_FIELD = re.compile(
    r"^(?:Return-Path|Received|DKIM-Signature|DomainKey-Signature|X-Received|ARC-Seal|"
    r"Message-I[Dd]|MIME-Version)[ \t]*:",
    re.IGNORECASE,
)

# Lines that name an address without accusing it.
HELP_LINE = _any(
    r"(?:contact|assistance|support|help|questions?|send (?:mail|e-?mail) to|write to|forward)\b"
    r"[^@\n]{0,60}$",
    r"^[>\s]*(?:from|sender|reply-to|return-path|mail from|message-id|subject|date|sent|cc|bcc|"
    r"received|references|hello|hi|dear)\b",
    r"(?:mail from|sent by|from|sender|by sending|on behalf of|wrote)[:\s]*[<\"']*$",
    r"mailto:|https?:|envelope-from",
)

# What reports say in words of their own, in the words of a reply, which the classifier knows.
IN_OTHER_WORDS = (
    (
        _any(
            r"failed \d+ attempts",
            r"envelope expired",
            r"retry time ?(?:out )?(?:not reached|exceeded)",
            r"after multiple retries",
            r"aborted after",
            r"not delivered within",
            r"for the last \d+ seconds",
        ),
        "delivery time expired, message in queue too long",
    ),
    (
        _any(
            r"invalid final delivery userid",
            r"recipient name is not recognized",
            r"not listed in",
            r"does not have a final email",
            r"(?:user|recipient) not known",
            r"no valid recipients",
            r"ディレクトリのリストにありません",
            r"あて先不明|宛先不明|アドレスが見つかりません",
        ),
        "550 5.1.1 user unknown",
    ),
    (
        _any(
            r"exceeds allowed size",
            r"mail ?folder is full",
            r"(?:mail)?box exceeded the local limit",
        ),
        "552 5.2.2 mailbox full",
    ),
    (
        _any(r"not (?:a )?member of this mailing list", r"groups\.google\.com/support"),
        "550 5.7.1 not authorized to post to this mailing list",
    ),
)
