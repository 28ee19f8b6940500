"""Replies and diagnostics as mail servers and providers word them, with what they mean.

Lists beside `reply_cases`, each written down before it was scored, by somebody who knew the rules.
What the first scoring taught went into the rules; labels that had been wrong were put right, and a
few lines without a clear label were taken out. So the lists guard what is reached; how good the
rules are with new words, docs/bounces.md says by the figures of the first scoring.

A heading names the categories that are right and whether the address is proven bad (`+`) or not
(`-`). Each line is a stage, or "-" where it is not known, and the text; a text that begins with no
code is a diagnostic out of a report.
"""

REPLIES = """\
= bad_mailbox +
rcpt 550 5.1.1 <kim@a.example>: Recipient address rejected: User unknown in local recipient table
rcpt 550 5.1.1 <kim@a.example>: Recipient address rejected: User unknown in virtual mailbox table
rcpt 550 5.1.1 <kim@a.example>: Recipient address rejected: User unknown in relay recipient table
rcpt 550 5.1.0 <kim@a.example>: Recipient address rejected: User unknown in virtual alias table
rcpt 550 5.1.1 <kim@a.example>: Recipient address rejected: a.example
rcpt 550-5.1.1 <kim@a.example>: Email address could not be found, or was misspelled (G8)
rcpt 550 5.1.1 <kim@a.example>... User unknown
rcpt 553 5.1.3 <kim@a.example>... User address required
rcpt 550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking the recipient's email address for typos or unnecessary spaces. Learn more at https://support.google.com/mail/?p=NoSuchUser a1-2b.3 - gsmtp
rcpt 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup
- 550 5.1.10 RESOLVER.ADR.RecipNotFound; not found
rcpt 550 5.4.1 [kim@a.example]: Recipient address rejected: Access denied
rcpt 550 5.7.505 Access denied, banned recipient
rcpt 550 5.7.504 [kim@a.example]: Recipient address rejected: Access denied
rcpt 550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).
rcpt 550 5.1.6 recipient no longer on server: kim@a.example
rcpt 554 5.0.0 Error: no such mailbox
rcpt 554 delivery error: dd Not a valid recipient - atlas.example
rcpt 554 delivery error: dd Requested mail action aborted, no such user kim@a.example
rcpt 552 1 Requested mail action aborted, mailbox not found
rcpt 550 #5.1.0 Address rejected kim@a.example
rcpt 550 5.1.1 <kim@a.example>: user does not exist
rcpt 550 5.1.1 <kim@a.example>: user lookup gave nothing: no such mailbox
rcpt 550-No Such User Here 550 kim
rcpt 550 No Such User Here"
rcpt 550 "No such user - pp
rcpt 550 Invalid recipient: kim
rcpt 550 Unrouteable address
rcpt 550 unknown user
rcpt 550 Unknown user kim@a.example
rcpt 550 kim@a.example unknown user account
rcpt 550 User kim@a.example does not exist
rcpt 550 Sorry, no mailbox here by that name. (#5.1.1)
rcpt 550 sorry, no mailbox here by that name (#5.1.1 - chkuser)
rcpt 511 sorry, no mailbox here by that name (#5.1.1 - chkuser)
rcpt 550 Mailbox not found for kim@a.example
rcpt 550 mailbox unknown or not accepting mail
rcpt 550 <kim@a.example>, Recipient unknown
rcpt 550 <kim@a.example> No such user here
rcpt 553 5.1.1 kim@a.example... Recipient name is not in our directory
rcpt 550 5.1.1 unknown recipient <kim@a.example>
rcpt 551 This is not a local user
rcpt 550 This address no longer accepts mail: mailbox does not exist
rcpt 550 That e-mail address is not recognised here
rcpt 550 No mailbox by that name is currently available
rcpt 550 5.1.1 Recipient is not known to this system
rcpt 550 cannot find your recipient in our address book
rcpt 550 We have no record of this recipient
rcpt 550 There is no account with that name at this host
rcpt 550 RCPT TO:<kim@a.example> Mailbox unknown
rcpt 550 5.2.1 No such mailbox
rcpt 550 Not a valid mailbox name
rcpt 550 The mailbox you are writing to was not found on this server
rcpt 550 relay recipient kim@a.example unknown
rcpt 553 Invalid recipient address, check the spelling
rcpt 550 Address kim@a.example is unknown
rcpt 554 5.1.1 kim@a.example No such local user
rcpt 550 5.1.1 kim (kim@a.example) not listed in Domino Directory
rcpt 550 kim@a.example... No such user in the public NAB
rcpt 550 5.1.1 Zimbra: no such account kim@a.example
rcpt 550 5.1.1 [courier] User unknown.
rcpt 550 Recipient <kim@a.example> is not a MailEnable mailbox: does not exist
rcpt 550 kim@a.example: unknown user (IMail)
rcpt 550 MDaemon: recipient unknown
rcpt 550 User (kim) unknown. (GWIA)
rcpt 550 5.1.1 Error: the recipient you gave does not exist here
rcpt 550 5.0.1 Recipient rejected: no account of that name
rcpt 550 Recipient unknown, please double check the address and try again
rcpt 550 5.1.1 Mail to kim@a.example cannot be delivered: this user does not exist
rcpt 550 5.7.1 XGEMAIL_0011 Command rejected
rcpt 554 RCPT TO: mailbox name not valid
rcpt 550 RCPT:<kim@a.example> no such recipient
rcpt 550 This employee has left the company, mailbox removed: no such user
rcpt 550-5.1.1 This user does not have a mailbox here 550 5.1.1 Bye
rcpt 553 Requested action not taken: mailbox name not allowed: unknown user
rcpt 550 Mailbox has been removed
rcpt 550 kim@a.example is not hosted here: no such mailbox
- 550 5.1.1 (bad destination mailbox address)
- 550 5.1.1
- 550 5.1.3 invalid recipient
- 550 Requested action not taken: mailbox unavailable
- 550 5.1.1 Recipient not found
rcpt 550 Benutzer existiert nicht
rcpt 550 5.1.1 Empfängeradresse unbekannt
rcpt 550 Das Postfach existiert nicht
rcpt 550 5.1.1 Diese E-Mail-Adresse ist hier nicht bekannt
rcpt 550 Adresse inconnue
rcpt 550 5.1.1 Le destinataire n'existe pas
rcpt 550 5.1.1 Boîte aux lettres inconnue
rcpt 550 5.1.1 Adresse du destinataire introuvable
rcpt 550 El usuario no existe
rcpt 550 5.1.1 La cuenta de correo no existe
rcpt 550 5.1.1 Dirección de correo inexistente
rcpt 550 Utente sconosciuto
rcpt 550 5.1.1 L'indirizzo del destinatario non esiste
rcpt 550 Casella inesistente
rcpt 550 Gebruiker onbekend
rcpt 550 5.1.1 Deze mailbox bestaat niet
rcpt 550 Usuário não encontrado
rcpt 550 5.1.1 A caixa postal não existe
rcpt 550 5.1.1 O endereço do destinatário não existe
rcpt 550 Nie ma takiego użytkownika
rcpt 550 5.1.1 Taki adres nie istnieje
rcpt 550 5.1.1 Skrzynka nie istnieje
rcpt 550 Пользователь не найден
rcpt 550 5.1.1 Такого пользователя нет
rcpt 550 5.1.1 Почтовый ящик не существует
rcpt 550 ユーザーが見つかりません
rcpt 550 5.1.1 そのようなユーザーは存在しません
rcpt 550 5.1.1 宛先のメールアドレスは存在しません
rcpt 550 用户不存在
rcpt 550 5.1.1 收件人不存在
rcpt 550 5.1.1 该邮箱地址不存在
rcpt 550 5.1.1 查无此用户
= bad_domain/bad_mailbox +
- 550 5.1.2 The domain name of the recipient does not exist
= bad_domain +
rcpt 556 5.1.10 <kim@a.example>: Recipient address rejected: Domain a.example does not accept mail (nullMX)
- 556 5.1.10 Domain a.example does not accept mail
- 550 5.1.10 null MX: the domain a.example takes no mail
- 554 5.1.10 Recipient address has null MX
rcpt 550 5.1.2 <kim@a.example>: Recipient address rejected: Domain not found
rcpt 550 5.4.310 DNS domain a.example does not exist [Message=InfoDomainNonexistent] [LastAttemptedServerName=a.example]
- 550 5.1.2 <kim@a.example>... Host unknown (Name server: a.example: host not found)
- 550 5.1.2 Bad destination domain
- 550 5.4.4 [internal] no MX or A record for domain a.example
- 554 5.4.4 Unable to route: no MX records for recipient domain
- 550 Domain has a null MX record (RFC 7505)
rcpt 550 5.1.2 Recipient domain does not exist
- 550 5.1.2 Domaine destinataire inexistant
- 550 5.1.2 Empfängerdomain existiert nicht
- 550 5.1.2 El dominio del destinatario no existe
= sender_config/policy/auth_failure/dns_failure -
rcpt 550 5.1.0 <me@b.example>: Sender address rejected: User unknown in virtual mailbox table
rcpt 550 5.1.0 <me@b.example>: Sender address rejected: User unknown in local recipient table
rcpt 550 5.1.1 <me@b.example>: Sender address rejected: User unknown in relay recipient table
rcpt 450 4.1.7 <me@b.example>: Sender address rejected: unverified address: User unknown
rcpt 550 5.1.7 <me@b.example>: Sender address rejected: undeliverable address: host mx.b.example[192.0.2.1] said: 550 5.1.1 <me@b.example> User unknown (in reply to RCPT TO command)
rcpt 550 5.1.8 <me@b.example>: Sender address rejected: Domain not found
rcpt 450 4.1.8 <me@b.example>: Sender address rejected: Domain not found
rcpt 553 5.1.8 <me@b.example>... Domain of sender address me@b.example does not exist
rcpt 550 5.1.8 Sender domain unknown
rcpt 501 5.1.7 Bad sender address syntax
rcpt 550-Verification failed for <me@b.example> 550-Called: 192.0.2.1 550-Sent: RCPT TO:<me@b.example> 550-Response: 550 5.1.1 User unknown 550 Sender verify failed
rcpt 550 Sender verify failed: no such user
rcpt 550 Sender callout failed: mailbox not found
rcpt 550 The sender address does not exist
rcpt 550 Return-path user unknown
rcpt 550 5.1.0 MAIL FROM address is not a valid mailbox
rcpt 550 Envelope sender does not exist
rcpt 550 originator mailbox not found
mail 550 5.1.0 <me@b.example> sender rejected: unknown user
mail 550 5.1.1 User unknown
mail 550 no such user
mail 553 5.1.2 host unknown
- 550 Unknown sender: no such user at b.example
- 550 5.1.0 Sender unknown, mailbox does not exist
- 550 5.1.8 Access denied, bad outbound sender
rcpt 550 Your domain does not exist
rcpt 550 Your address is not known here
rcpt 550 5.1.0 your mailbox does not exist
rcpt 550 Reverse path not found
rcpt 550 5.1.1 From address unknown
rcpt 550 5.1.0 Absenderadresse unbekannt
rcpt 550 5.1.0 Adresse de l'expéditeur inconnue
rcpt 550 5.1.0 Remitente desconocido: el usuario no existe
rcpt 550 5.1.0 Mittente sconosciuto
rcpt 550 5.1.0 发件人不存在
rcpt 550 5.1.0 差出人のメールアドレスは存在しません
= sender_config/protocol_error/policy/reputation -
ehlo 550 5.1.1 user unknown
ehlo 550 unknown host
rcpt 550 HELO name not found
rcpt 504 5.5.2 <pc>: Helo command rejected: need fully-qualified hostname
rcpt 450 4.7.1 <pc.b.example>: Helo command rejected: Host not found
rcpt 550 5.7.1 <pc.b.example>: Helo command rejected: no such domain
rcpt 550 EHLO domain does not exist
rcpt 550 Client host name not found
rcpt 450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.7]
rcpt 550 5.7.1 Client host rejected: cannot find your hostname, [192.0.2.7]
connect 554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied
rcpt 550 5.7.25 The IP address sending this message does not have a PTR record setup
connect 421 4.7.25 Reverse DNS of 192.0.2.7 does not exist
connect 554 No PTR record: host unknown
= dns_failure/remote_system/connection_failure/greylist -
rcpt 550 5.1.1 User temporarily unknown
rcpt 550 5.1.1 recipient lookup failed, database error
rcpt 550 5.1.2 DNSSEC validation failure for a.example
rcpt 550 5.4.4 Domain lookup failed: SERVFAIL
rcpt 550 5.1.1 user lookup failed: LDAP server not reachable
rcpt 550 5.1.1 mailbox temporarily not found, come back later
rcpt 550 5.3.0 internal error: user database not available
rcpt 550 5.1.1 could not verify recipient at this time
rcpt 451 4.1.1 Recipient verify deferred
rcpt 451 Could not complete recipient verify callout
rcpt 450 4.1.1 <kim@a.example>: Recipient address rejected: unverified address: connect to mx.a.example[192.0.2.1]:25: Connection timed out
rcpt 450 4.1.2 <kim@a.example>: Recipient address rejected: Domain not found, lookup problem
rcpt 451 4.3.0 <kim@a.example>: Temporary lookup failure
rcpt 550 temporary failure looking up the recipient
- 550 5.4.4 host lookup failed: temporary DNS error
- 451 4.4.3 temporary unable to resolve recipient domain
rcpt 550 5.3.2 mailbox server down for maintenance
rcpt 421 4.3.2 Service not available, closing transmission channel
rcpt 550 5.1.1 Directory service unavailable, recipient could not be checked
rcpt 554 5.3.0 alias database unavailable
= bad_mailbox/policy/spam_content/unknown -
dot 550 5.1.1 User unknown
dot 550 unknown user kim@a.example
data 550 5.1.1 mailbox unavailable
dot 550 Requested action not taken: mailbox unavailable
- 550 5.1.1 User unknown (in reply to end of DATA command)
- 550 5.1.1 mailbox unavailable (in reply to DATA command)
- >>> DATA <<< 550 5.1.1 <kim@a.example>... User unknown
- SMTP error from remote mail server after end of data: host mx.a.example [192.0.2.1]: 550 5.1.1 User unknown
- SMTP error from remote mail server after pipelined end of data: 550 no such user
- 192.0.2.1 failed after I sent the message. Remote host said: 550 5.1.1 user unknown
= content_error/spam_content/policy/reputation/virus -
dot 554 HL:REP 163 mx1
rcpt 550 5.7.1 spam trap: no such user
dot 550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant
rcpt 550 header contains an unknown address
dot 550 5.6.0 header address does not exist
dot 550 Message-ID host unknown
- 550 The domain in a link of the message does not exist
- 550 link to unknown host in the body
- 550 From: header address not found
- 550 5.7.1 URL in the message points to a domain that does not exist
dot 554 5.6.0 Invalid address in To: header
dot 550 5.7.1 Date header is invalid
dot 550 5.6.0 maximum line length is 998, found 1200
dot 554 5.6.0 Line longer than 998 octets
dot 500 line too long
dot 500 5.5.6 line length exceeded
dot 552 5.6.0 lines longer than 1000 characters are not accepted
dot 550 maximum allowed line length is 998 octets, got 4096
= policy/reputation/unknown/bad_domain/remote_system/connection_failure -
connect 521 5.3.2 Service currently unavailable
connect 521 mx.a.example does not accept mail from you
connect 554 5.3.2 service not available to you
- 550 unknown
- 550 rejected
- 550 refused
rcpt 550 unknown error
= policy/bad_mailbox/sender_config/unknown/protocol_error/inactive_mailbox/reputation -
rcpt 521 no such user
rcpt 521 5.7.1 <kim@a.example>: Recipient address rejected: not here
mail 521 5.1.1 user unknown
- 521 5.2.1 AOL will not accept delivery of this message
rcpt 550 5.0.0 unknown
rcpt 550 not found
rcpt 550 Not found: kim@a.example
rcpt 550 No such thing
rcpt 550 does not exist
- 554 unknown command line
- 550 rejected by the server
= unknown/bad_mailbox -
- 550 Recipient address rejected
- 550 Recipient rejected
= policy/reputation/relay_denied/auth_failure/unknown/spam_content -
- 550 permanent failure for one or more recipients (kim@a.example:550 5.7.1 blocked by policy)
- 550 5.1.351 Remote server returned unknown recipient or mailbox unavailable -> 550 5.7.1 Message rejected as spam by content filter
- 550 5.1.351 Remote server returned unknown recipient or mailbox unavailable -> 550 5.7.1 Relaying denied
- 550 5.1.1 invalid recipient: remote host said: 554 5.7.1 your server is on a blacklist
- 550 5.0.350 Remote server returned an error -> 550 5.7.1 SPF check failed
rcpt 550 5.7.1 <kim@a.example>: Recipient address rejected: Access denied
rcpt 550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required
rcpt 550 5.7.1 Recipient doesn't want mail from you
rcpt 550 you are not allowed to mail this user
rcpt 554 5.7.1 Recipient blocks your address
rcpt 550 5.7.124 Sender not in allowed-senders list
rcpt 550 5.7.193 UserNotInTeam: the sender is not a member
= bad_mailbox +
- 550 5.1.351 Remote server returned unknown recipient or mailbox unavailable -> 550 5.1.1 User unknown
- SMTP error from remote mail server after RCPT TO:<kim@a.example>: host mx.a.example [192.0.2.1]: 550 5.1.1 User unknown
- host mx.a.example[192.0.2.1] said: 550 5.1.1 <kim@a.example>: Recipient address rejected: User unknown in local recipient table (in reply to RCPT TO command)
- >>> RCPT To:<kim@a.example> <<< 550 5.1.1 <kim@a.example>... User unknown
- 192.0.2.1 does not like recipient. Remote host said: 550 5.1.1 no such user Giving up on 192.0.2.1.
- 550 5.1.1 unknown user 503 5.5.1 need RCPT first 421 4.4.2 timeout
- 550 No such user 554 5.5.1 Error: no valid recipients
- The response from the remote server was: 550 5.1.1 User does not exist
- The error that the other server returned was: 550 550 5.1.1 unknown user
- 5.1.0 - Unknown address error 550-'5.1.1 no such mailbox' (delivery attempts: 0)
= mailbox_full -
rcpt 552 5.2.2 Mailbox is full
rcpt 452 4.2.2 The email account that you tried to reach is over quota
rcpt 550 5.2.2 user over quota
rcpt 554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded
rcpt 552 RCPT <kim@a.example> Mailbox disk quota exceeded
rcpt 452 <kim@a.example> Mailbox size limit exceeded
rcpt 550 Das Postfach ist voll
rcpt 552 5.2.2 Boîte aux lettres pleine
rcpt 552 5.2.2 Buzón lleno
rcpt 552 5.2.2 La casella è piena
rcpt 552 5.2.2 Caixa de correio cheia
rcpt 552 5.2.2 Skrzynka jest pełna
rcpt 552 5.2.2 Почтовый ящик переполнен
rcpt 552 5.2.2 メールボックスがいっぱいです
rcpt 552 5.2.2 邮箱已满
= inactive_mailbox/policy -
rcpt 550 5.2.1 The email account that you tried to reach is disabled. https://support.google.com/mail/?p=DisabledUser
rcpt 550 5.2.1 The email account that you tried to reach is inactive. https://support.google.com/mail/?p=InactiveUser
rcpt 550 5.2.1 mailbox disabled, not accepting messages
rcpt 554 30 Sorry, your message to kim@a.example cannot be delivered. This mailbox is disabled (554.30)
rcpt 550 User account suspended
rcpt 550 Konto gesperrt
rcpt 550 5.2.1 Compte désactivé
rcpt 550 5.2.1 Cuenta suspendida
rcpt 550 5.2.1 Konto zablokowane
rcpt 550 5.2.1 Account disabilitato
rcpt 550 5.2.1 帐号已停用
= message_too_large -
mail 552 5.3.4 Message size exceeds fixed limit
dot 552 5.2.3 Message exceeds the size limit of the recipient
mail 552 5.3.4 Message size exceeds file system imposed limit
dot 552 Message too large
- 550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient
dot 552 5.3.4 Nachricht zu groß
dot 552 5.3.4 Message trop volumineux
dot 554 5.7.1 XGEMAIL_0012 Command rejected
= rate_limit/reputation/policy/spam_content -
connect 421 4.7.0 [TSS04] Messages from 192.0.2.7 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1
mail 421 4.7.0 [TSS05] All messages from 192.0.2.7 will be permanently deferred
connect 421 4.7.28 Gmail has detected an unusual rate of mail originating from your IP address. https://support.google.com/mail/?p=UnsolicitedRateLimitError
rcpt 450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered. https://support.google.com/mail/?p=ReceivingRate
rcpt 452 4.5.3 Too many recipients
rcpt 550 5.4.5 Daily sending quota exceeded
dot 554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException
dot 550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients
dot 550 5.7.233 tenant external recipient rate limit exceeded
rcpt 550 5.7.705 Access denied, tenant has exceeded threshold
rcpt 451 4.7.1 XGEMAIL_0015 Command rejected
dot 454 Throttling failure: Maximum sending rate exceeded.
dot 554 Transaction failed: Daily message quota exceeded
rcpt 421 4.7.0 IP rate limited
rcpt 450 4.2.0 too many mails for this recipient today
connect 421 too many connections from your host
rcpt 450 4.7.1 Error: too much mail from 192.0.2.7
connect 421 mx.a.example Trop de connexions, veuillez verifier votre configuration. Too many connections, slow down. OFR005_104 [104]
auth 451 too many failed logins, try later
connect 450 RP:CQL 163 mx1
rcpt 550 5.7.232 Your message can't be sent because your trial tenant exceeded its daily limit for sending email to external recipients
connect 421 4.7.1 [PR(ct1)] too many messages from this host
rcpt 450 4.7.1 Maximum email count per hour reached
- 550 5.4.6 Unusual sending activity detected. Please try after sometime
- 553 Relaying disallowed. You have exceeded the outgoing mail limit
= greylist/remote_system -
rcpt 450 4.2.0 <kim@a.example>: Recipient address rejected: Greylisted, see http://postgrey.a.example/help
rcpt 451 4.7.1 Greylisting in effect, please come back in 5 minutes
rcpt 450 4.7.1 Please try again in 180 seconds
rcpt 451 Internal resource temporarily unavailable
rcpt 451 You have been greylisted, try again in 300 seconds
rcpt 451 4.7.1 Grey listed: unknown user, sender and host, wait 5 minutes
= reputation/policy/spam_content/rate_limit -
connect 554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org
rcpt 550 5.7.606 Access denied, banned sending IP [192.0.2.7]
mail 550 5.7.1 Unfortunately, messages from [192.0.2.7] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).
connect 554 resimta-po-01v.sys.example resimta 192.0.2.7 found on one or more DNSBLs, see postmaster.comcast.net/smtp-error-codes.php#BL000001
connect 554 IP=192.0.2.7 - None/bad reputation. Ask your postmaster for help or to contact kim@a.example for reset. (NOWL)
connect 554-gmx.net (mxgmx012) Nemesis ESMTP Service not available 554-No SMTP service 554-IP address is block listed. 554 For explanation visit https://postmaster.gmx.net/en/case?c=bl&i=ip&v=192.0.2.7
connect 421-gmx.net (mxgmx108) Nemesis ESMTP Service not available 421 Service closing transmission channel 421 Reject due to policy restrictions
mail 550 5.7.1 [CS01] Message rejected due to local policy. Please visit https://support.apple.com/en-us/HT204137
dot 554 5.7.1 [HM08] Message rejected due to local policy
connect 550 5.7.0 Local Policy Violation: your IP is on CSI list, see https://csi.cloudmark.com/reset-request/?ip=192.0.2.7
connect 554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.7
connect 550 IB705 Virtual host on a block list
connect 554 5.7.1 XGEMAIL_0004 Command rejected
connect 421 4.7.0 Your IP address has been temporarily blocked because of spam, unknown users and bad behaviour
rcpt 554 5.7.1 your server sent to too many unknown users
rcpt 550 5.7.513 Service unavailable, Client host [192.0.2.7] blocked by recipient domain using Customer Block list
connect 550 OU-001 Unfortunately, messages from 192.0.2.7 weren't sent
connect 554 5.7.1 Dialup/transient IP not allowed
dot 550 5.7.708 Access denied, traffic not accepted from this IP
= auth_failure/policy/spam_content -
dot 550 5.7.26 Your email has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM
dot 421 4.7.26 This mail has been rate limited because it is unauthenticated
dot 421 4.7.27 rate limited: SPF did not pass
dot 421 4.7.30 This mail has been rate limited because DKIM does not pass
dot 550 5.7.30 This mail has been blocked because DKIM does not pass
dot 421 4.7.40 rate limited: the From domain has no DMARC record
dot 550 5.7.509 Access denied, sending domain b.example does not pass DMARC verification and has a DMARC policy of reject
dot 550 5.7.515 Access denied, sending domain b.example doesn't meet the required authentication level
dot 554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes
rcpt 550 5.7.1 XGEMAIL_0002 Command rejected
dot 550 5.7.1 XGEMAIL_0003 Command rejected
dot 554 5.7.1 [AU01] DMARC
rcpt 550 5.7.23 <kim@a.example>: Recipient address rejected: Message rejected due to: SPF fail - not authorized
rcpt 550 5.7.1 Recipient address rejected: unknown user and SPF softfail
dot 550 5.7.1 Email rejected per DMARC policy for b.example
= spam_content/policy/virus -
dot 554 5.7.1 Message identified as spam
dot 550 5.7.1 Our system has detected that this message is likely unsolicited mail. https://support.google.com/mail/?p=UnsolicitedMessageError
dot 554 DT:SPM 126 smtp2
dot 552 5.7.0 This message was blocked because its content presents a potential security issue. https://support.google.com/mail/?p=BlockedMessage
dot 554 5.7.1 The message was classified as spam by our filter, mailbox user unknown to you
= relay_denied/policy/auth_failure -
rcpt 554 5.7.1 <kim@a.example>: Relay access denied
rcpt 550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain
rcpt 550 5.7.64 TenantAttribution; Relay Access Denied
auth 535 5.7.3 Authentication unsuccessful
auth 535 5.7.8 Username and Password not accepted
rcpt 550 5.7.1 XGEMAIL_0010 Command rejected
rcpt 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
rcpt 550 relay not permitted
auth 535 Authentication credentials invalid
rcpt 554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: me@b.example
mail 550 5.7.30 Basic authentication is not supported for Client Submission.
rcpt 553 Relaying disallowed as b.example
= tls_failure/policy/auth_failure -
mail 530 5.7.0 Must issue a STARTTLS command first
starttls 454 4.7.0 TLS not available due to local problem
- 550 5.7.324 dnssec-invalid: Destination domain returned invalid DNSSEC records
- 550 5.7.325 certificate-host-mismatch: Remote certificate MUST have a common name or subject alternative name matching the hostname (DANE)
- 450 4.7.323 tlsa-invalid: The domain failed DANE validation
- 450 4.7.321 starttls-not-supported: Destination mail server must support TLS to receive mail
- 450 4.7.322 certificate-expired: Destination mail server's certificate is expired
mail 421 4.7.29 This mail has been rate limited because it was not sent over a TLS connection
rcpt 554 5.7.1 XGEMAIL_0006 Command rejected
- 550 5.7.5 MTA-STS: certificate name does not match the MX host
= routing_loop -
- 554 5.4.6 Too many hops
- 554 5.4.14 Hop count exceeded - possible mail loop
- 550 5.4.12 SMTP; Hop count exceeded - possible mail loop detected on message id
rcpt 554 5.4.6 Routing loop detected -- too many Received headers
= protocol_error -
data 503 5.5.1 RCPT first
rcpt 503 5.5.1 Error: need MAIL command
rcpt 501 5.5.4 Syntax: RCPT TO:<address>
data 554 5.5.1 Error: no valid recipients
ehlo 502 5.5.2 Error: command not recognized
mail 555 5.5.4 Unsupported option: BODY=8BITMIME
= policy -
rcpt 550 5.7.1 Message rejected by transport rule
rcpt 550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy
rcpt 550 Rejected by header based Blocked Senders
rcpt 554 5.7.1 XGEMAIL_0008 Command rejected
rcpt 550 Envelope blocked - https://community.mimecast.com/docs/DOC-1369#550
rcpt 550 5.7.510 [b.example] does not accept email from outside
= expired/connection_failure/dns_failure/remote_system -
- 550 5.4.300 Message expired -> 421 4.4.1 Connection timed out
- 550 4.4.7 QUEUE.Expired; message expired
"""

# Written after the rules had been made right for the first list, to see what they do to new words.
MORE_REPLIES = """\
= bad_mailbox +
- 550 5.1.1 <kim@a.example>: Recipient address rejected: User unknown
- 550 5.1.1 <kim@a.example>... User unknown
rcpt 550 Requested action not taken: mailbox unavailable For explanation visit https://postmaster.gmx.net/en/error-messages?ip=192.0.2.1&c=bounce
- 550 5.1.1 Mailbox does not exist
- 550 5.1.1 Recipient address rejected: User unknown in virtual mailbox table
- 550 5.2.1 <kim@a.example>: Recipient address rejected: this mailbox does not exist
rcpt 554 Message rejected: invalid recipient
- 550 No such recipient here
- 550-5.1.1 The email account that you tried to reach does not exist
- 550 5.5.1 Invalid recipient <kim@a.example>
- 550 Mailbox not found
- 550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550
- 554 5.1.1 <kim@a.example>: Recipient address rejected: user kim does not exist
- 550 5.1.1 Sorry, no such user
- 550 User does not exist or is not local: no such user here
- 550 kim@a.example... User not known
rcpt 550 5.1.1 kim@a.example is not a valid mailbox on this system
- 550 #5.1.1 <kim@a.example> User unknown
rcpt 550 <kim@a.example>: Mailbox Unknown
- 553 5.3.0 <kim@a.example>... Addressee unknown, relay=[192.0.2.1]
- 550 RCPT TO:<kim@a.example> User unknown
rcpt 550 Unknown address error
- 550 5.1.1 Unknown or illegal alias
- 550 5.7.1 Unable to deliver to kim@a.example: no such mailbox
rcpt 550 [XMail:0x10] Mailbox unavailable: no such account
rcpt 550 Address invalid
- 550 MAILBOX NOT FOUND
- 550 5.1.1 Account does not exist: kim@a.example
rcpt 550 5.1.1 UserUnknown
- 550 5.0.0 <kim@a.example>... User unknown
rcpt 550 The recipient does not exist. Please check your spelling
rcpt 550 recipient does not have a valid mailbox
- 550 5.1.1 Address does not exist
- 550 No Such User
rcpt 550 "The email address you are sending to doesn't exist"
rcpt 550 Sorry! We don't have that user here
- 550 Unroutable address
rcpt 550 We would love to have gotten this email to kim@a.example. But, your recipient never logged onto their free account at a.example. Thanks for using: no such user
rcpt 550 mailbox kim@a.example doesn't exist
rcpt 550 5.4.1 Recipient address rejected: Access denied. For more information see https://aka.ms/EXOSmtpErrors [VI1.eurprd05.prod.outlook.com 2025-05-07T01:02:03.004Z 08DD]
- 550 5.1.10 RESOLVER.ADR.InvalidInternetAddress; not found
- 550 5.1.0 RESOLVER.ADR.ExRecipNotFound; not found
- 550-5.1.1 Unknown recipient. The user might have left the service
rcpt 550 Unknown user [a1-b2]
- 550 5.1.1 kim@a.example: Email address could not be found, or was misspelled (G8)
- 550 Recipient email address does not exist on mail server
- 550 5.1.1 Destinataire inconnu
- 550 5.1.1 Adresse email inconnue
rcpt 550 5.1.1 Utilisateur inexistant
- 550 5.1.1 Unbekannter Empfänger
- 550 Postfach nicht gefunden
- 550 Konto existiert nicht
- 550 El destinatario no existe
- 550 5.1.1 Usuario inexistente
- 550 Buzon de correo no encontrado
- 550 5.1.1 Destinatario sconosciuto
- 550 L'utente non esiste
- 550 5.1.1 Ontvanger onbekend
- 550 5.1.1 Destinatário não encontrado
- 550 Conta inexistente
- 550 5.1.1 Nieznany odbiorca
- 550 Konto nie istnieje
- 550 5.1.1 Неизвестный получатель
- 550 Адрес не существует
- 550 5.1.1 メールボックスが存在しません
- 550 5.1.1 该用户不存在
- 550 5.1.1 收件人地址无效
= bad_domain +
- 550 5.1.2 Unknown domain
- 550 Unknown domain a.example
- 550 5.1.10 The recipient domain has a null MX record
- 550 5.1.2 Host or domain name not found
- 550 5.1.2 Domain does not exist
- 550 Domain a.example not found
- 550 5.1.2 Domain not found
- 554 5.4.4 <kim@a.example>: unable to route: host not found
- 556 5.1.10 Recipient domain does not accept mail
- 556 Domain does not accept mail
- 550 5.1.2 The recipient's domain does not exist (NXDOMAIN)
- 550 no valid MX record for the recipient domain
= sender_config/policy/auth_failure/dns_failure -
- 550 5.1.0 <me@b.example>: Sender address rejected: User unknown
- 550 <me@b.example>: Sender address rejected: undeliverable address: no such user
- 553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)
- 550 Sender address is not valid
- 550 Sender domain must exist
- 553 5.1.8 <me@b.example> sender address does not exist
- 451 4.1.8 Domain of sender address me@b.example does not resolve
- 550 5.7.1 Sender unknown
- 501 5.1.8 Sender domain must resolve
- 550 5.1.0 Adresse d'expéditeur rejetée: utilisateur inconnu
- 550 Bad sender; unknown user
rcpt 550 The return address of your mail does not exist
rcpt 550 could not verify the sender's mailbox: user unknown
- 550 invalid DNS MX or A/AAAA resource record. Sender domain
- 550 We cannot find your domain
- 550 5.7.1 your mail server's hostname is unknown
- 554 5.7.1 <b.example[192.0.2.7]>: Client host rejected: no such host
- 550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)
- 550 "REJECTED - invalid sender: unknown mailbox"
- 550 from <me@b.example>: user unknown, sender verify
- 550 you do not exist
- 550 we do not know you
= remote_system/dns_failure/connection_failure/greylist -
- 421 4.7.0 Too many errors on this connection, closing
- 550 5.1.1 user unknown right now, directory server is down
- 550 5.4.4 unable to look up the recipient domain, server failure
- 451 4.3.0 lookup of recipient failed, temporary error
- 554 5.3.5 unknown mailer error 2
- 451 Temporary local problem - please try later
- 550 5.2.0 recipient's mail store is unavailable at this moment
- 550 Unable to verify recipient: backend timeout
- 550 5.1.2 DNS failure, could not resolve recipient domain
- 554 5.4.4 resolver error for recipient domain
- 450 4.7.1 Recipient address rejected: service temporarily unavailable
- 452 4.3.1 Out of memory
- 451 4.3.2 Please try again later
- 421 4.3.0 Temporary server error. Please try again later
= bad_mailbox/policy/spam_content/unknown/reputation -
- 550 5.1.1 mailbox not found (in reply to end of DATA command)
- 550 user unknown in response to DATA
dot 554 5.1.1 all recipients unknown
dot 550 5.1.1 <kim@a.example> does not exist
data 550 5.1.1 <kim@a.example>: Recipient address rejected: User unknown
- Error after DATA: 550 no such user
- 550 5.1.1 User unknown (while sending end of data)
= content_error/spam_content/policy/reputation/virus -
- 550 5.6.0 invalid header: unknown user in To: header
- 554 Message has an invalid From header: domain not found
- 550 URL in body contains unknown domain
- 550 5.7.7 Header address is not valid
dot 554 5.6.1 lines in message are too long
dot 552 5.6.0 line exceeds 998 characters
- 550 Message contains a link to a nonexistent domain
- 550 Subject contains invalid characters
- 554 5.6.0 Lone CR or LF in headers
= reputation/policy/spam_content/rate_limit -
- 550 5.7.1 Service unavailable, client host [192.0.2.7] blocked using Customer Block list (AS16012611)
- 550-"JunkMail rejected - b.example [192.0.2.7]:1234 is in an RBL, see https://www.spamhaus.org/
- 554 rejected due to poor reputation
- 550 5.7.1 Rejected: 192.0.2.7 is on our blocklist
- 421 4.7.1 Intrusion prevention active for [192.0.2.7]
- 550 SC-004 Mail rejected by Windows Live Hotmail for policy reasons. A block has been placed against your IP address because we have received complaints concerning mail coming from that IP address.
- 550 DY-001 Mail rejected by Windows Live Hotmail for policy reasons. We generally do not accept email from dynamic IP's
- 550 5.7.0 Connection from 192.0.2.7 rejected due to poor email reputation score
- 554 5.7.1 ATT: blocked by abuse, see http://att.net/blocks
- 553 5.3.0 flpd575 DNSBL:ATTRBL 521< 192.0.2.7 >_is_blocked. For assistance forward this email to abuse_rbl@abuse-att.net
- 550 Email blocked by 192.0.2.1 - to unblock see http://www.example.com/
- 550 5.7.1 Blocked by Spam Filter - IP reputation
= rate_limit/policy/reputation/spam_content -
- 452 Too many emails sent on this session
- 550 Too many invalid recipients
- 421 RP-003 The mail server IP connecting to Outlook.com has exceeded the connection limit allowed. Please see https://postmaster.live.com
- 450 4.7.1 You've exceeded your sending limit to this domain
- 451 4.7.651 The mail server [192.0.2.7] has been temporarily rate limited due to IP reputation
- 452 4.3.1 Too many concurrent deliveries
- 421 4.7.0 Maximum number of messages in this session reached
- 554 5.7.0 Too many unauthenticated commands
- 450 4.2.1 Mailbox has exceeded the limit of messages per hour
- 421 4.4.5 Too many connections to this host
- 450 Too many mails sent from this account in the last hour
- 421 Domain sending limits reached
- 550 Exceeding outbound thread limit
= auth_failure/policy/spam_content/sender_config -
- 550 5.7.1 Email rejected per SPF policy
- 550 SPF check failed: 192.0.2.7 is not allowed to send mail from b.example
- 554 5.7.5 Permanent error evaluating DMARC policy
- 550 5.7.1 DKIM signature body hash did not verify
- 550 5.7.26 This mail is unauthenticated, which poses a security risk to the sender and Gmail users, and has been blocked.
- 554 5.7.1 Rejected by DMARC policy of the domain owner
- 421 4.7.31 Mail from this From domain is rate limited: DMARC alignment missing
- 550 Mail is rejected by recipients SPF rules: sender not permitted
= spam_content/policy/virus/reputation -
- 554 5.7.1 The file you sent was blocked: your IP is known for spam
- 554 5.7.1 This message has been blocked for containing a SPAM-like characteristic
- 550 High probability of spam (score 20)
- 554 5.7.1 [P4] Message blocked due to spam content in the message
- 550 Your message was considered as spam by our filter
- 550 5.7.1 Your email was flagged as phishing
- 550 message contains a virus (Eicar)
- 554 Malicious content detected
- 550 5.7.0 Message rejected: suspicious attachment
- 550 5.2.0 Message rejected due to possible spam content
= relay_denied/auth_failure/policy -
- 551 User not local; mailbox not found
- 550 5.7.1 Relaying to <kim@a.example> prohibited by administrator
- 554 5.7.1 <kim@a.example>: Relay access denied
- 550 Not allowed to relay
- 454 4.7.1 Relay access denied
- 550 5.7.367 Remote server returned not permitted to relay -> 554 5.7.1 Relay access denied
- 503 AUTH first (#5.5.1)
- 530 SMTP authentication is required.
- 550 must be authenticated
- 550 Please turn on SMTP Authentication in your mail client
- 553 Authentication is required to send mail as <me@b.example>
- 550 We don't handle mail for a.example
- 550-Please turn on SMTP Authentication in your mail client, or login to the IMAP/POP3 server before sending your message
- 535 Incorrect authentication data
= mailbox_full -
- 552 5.2.2 Over quota
- 452 4.1.1 kim@a.example mailbox full
- 550 5.2.2 Mailbox size limit exceeded
- 452 4.2.2 The recipient's inbox is out of storage space
- 552 Mailbox limit exceeded for this email address
- 550 5.7.1 kim's mailbox has reached its quota
- 554 Recipient's mailbox is full, message returned to sender (#5.2.2)
- 422 Mailbox full
- 552 Quota violation for kim@a.example
= inactive_mailbox/policy/bad_mailbox -
- 554 5.2.1 account deactivated
- 550 Account has been suspended
- 550 User kim is locked
- 550 5.2.1 Mailbox disabled
- 550 Mailbox is inactive
- 450 4.2.1 user account is temporarily disabled
- 550 5.1.1 Mailbox suspended for unpaid account
= message_too_large -
- 552 Message exceeds maximum fixed size
- 552 5.3.4 Message too big
- 552 Message size exceeds fixed maximum message size (10485760)
- 523 the message size exceeds the recipient's size limit
= greylist/rate_limit/remote_system -
- 451 4.7.1 <kim@a.example>: Recipient address rejected: Greylisting in effect, please come back later
- 450 4.7.1 <kim@a.example>: Recipient address rejected: Service is unavailable, try again in 5 minutes
- 451 greylisted, please try again in 900 seconds
- 450 Requested action not taken: greylisted
= routing_loop -
- 554 5.4.6 Hop count exceeded - possible mail loop
- 550 5.4.14 Hop count exceeded - possible mail loop
- 554 Too many hops 26 (25 max)
- 550 too many "Received" headers - suspected mail loop
= protocol_error/content_error -
- 500 5.5.2 Error: bad syntax
- 501 Syntax error in parameters or arguments
- 502 Command not implemented
- 503 Bad sequence of commands
- 504 Command parameter not implemented
- 555 MAIL FROM/RCPT TO parameters not recognized or not implemented
= policy/reputation -
- 550 5.7.1 Message rejected due to local policy
- 550 Rejected by policy
- 550 5.7.1 Access denied
- 554 5.7.1 [BS01] Message rejected due to local policy
- 550 Mail rejected by recipient's mail rules
- 550 5.7.1 Recipient refuses mail from your address
- 550 5.7.134 RESOLVER.RST.SenderNotAuthenticatedForMailbox; authentication required
- 541 The recipient address rejected your message
- 550 Blocked by recipient's organization
- 550 5.7.136 RESOLVER.RST.SenderNotAuthenticatedForMailUser
= tls_failure -
- 554 Configuration is invalid for this certificate
- 550 5.7.10 STARTTLS is required for this sender
- 530 5.7.0 Must issue a STARTTLS command first
- 454 4.7.5 certificate verify failed
- 550 5.7.51 TenantInboundAttribution; There is a partner connector configured that matched the message's recipient domain. The connector had either RestrictDomainsToIPAddresses or RestrictDomainsToCertificate set
- 421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2
- 554 5.7.3 Unable to initialize TLS
= expired/connection_failure/dns_failure/remote_system -
- 550 4.4.7 Message expired
- 554 5.4.7 exceeded max time without delivery
- 451 4.4.1 Temporary failure: no answer from host
- 421 4.4.1 Connection timed out
- 450 4.4.2 Bad connection
- 451 4.4.4 Temporary server error
= unknown/policy/remote_system/reputation/bad_mailbox/bad_domain/tls_failure -
- 550 Mailbox is temporarily not existing due to migration
rcpt 550 kim is not known here
rcpt 521 5.3.2 mail.a.example does not accept mail
- 450 4.4.317 Cannot connect to remote server
- 554 Denied (Mode: normal)
- 550 error
- 554 Transaction failed
- 550 5.0.0 Mail rejected
- 554 delivery failed
= bad_mailbox/inactive_mailbox +
- 550 address unknown
- 550 5.1.1 account address does not exist
- 550 kim is not a known user
- 550 kim@a.example is not an active address at this host: mailbox not found
- 550 Invalid mailbox path
- 550 mailbox invalid
- 550 mailbox not present
- 550 No mail box available for this user
- 550 5.1.1 Not a valid user here
- 550 Not a local address
- 550 rejected address: no such user
- 550 5.1.1 Sorry, user unknown
- 550 Sorry, badrcptto: invalid recipient
- 550 the user's email name is not found
- 550 there is no one at this address
- 550 this recipient is not in my validrcptto list
- 550 unknown mailbox
- 550 user address does not exist
- 550 user missing home directory: unknown user
- 550 5.1.1 user not known
- 550 mail box not found
- 550 mailbox is not on this server
- 550 non-existent recipient
- 550 5.1.1 bad recipient
- 550 5.1.1 Nessun utente simile in questo indirizzo
- 550 5.1.1 no existe dicha persona: usuario desconocido
- 550 no existe ese usuario
- 550 Die Adresse wurde nicht gefunden
- 550 Kein Benutzer mit diesem Namen
- 550 Kein solches Postfach
- 550 5.1.1 Aucun utilisateur de ce nom
- 550 5.1.1 L'utilisateur n'existe pas
- 550 5.1.1 Cet utilisateur n'existe pas
- 550 5.1.1 No hay ningún usuario con ese nombre
- 550 5.1.1 Nessuna casella con questo nome
- 550 5.1.1 Geen gebruiker met deze naam
- 550 5.1.1 Não existe esse usuário
- 550 5.1.1 Nie znaleziono użytkownika
- 550 5.1.1 Пользователь неизвестен
- 550 ユーザーが存在しません
- 550 没有这个用户
- 550 5.1.1 The user you specified cannot be found
- 550 That mailbox name is unknown
- 550 Recipient name not recognized
- 554 Invalid user
- 550 kim: mailbox unknown
- 550 Local user unknown
- 554 5.1.1 unknown virtual user
- 550 5.1.1 the person you tried to mail has no mailbox here
- 550 5.7.1 <kim@a.example>... No such user, mail refused
rcpt 550 Account unavailable
rcpt 550 No thank you rejected: Account Unavailable : Possible Forgery
rcpt 550 kim@a.example User unknown; rejecting mail
rcpt 553 5.1.1 unknown local part
rcpt 550-5.1.1 Addressee unknown 550 5.1.1 see rfc3463
rcpt 550 The following address does not exist here: kim@a.example
rcpt 550 5.1.1 Email box does not exist
rcpt 550 5.0.1 Mailbox of kim does not exist
rcpt 551 5.1.1 Mailbox not found
rcpt 501 5.1.3 Bad recipient address syntax
rcpt 553 Mailbox name invalid
rcpt 550 recipients verification: user unknown
rcpt 550 5.1.1 RP:RCPT:kim user unknown
rcpt 550 Invalid RCPT address
rcpt 554 Bad recipient
rcpt 550 We do not know this recipient
rcpt 550 Can not find that user here
- 550 5.2.1 The mailbox you tried to reach doesn't exist
- 550 5.1.6 mailbox has moved, no forwarding address: user unknown
= bad_domain/bad_mailbox/dns_failure +
- 550 mail domain mentioned in email address is unknown
- 550 recipient domain must exist: domain not found
- 550 5.1.2 unrouteable mail domain a.example
- 550 unknown host a.example
- 550 Recipient address rejected: unknown domain name
- 550 5.1.2 The destination domain was not found
- 556 5.1.10 recipient address has a null MX
- 550 domain a.example has no MX record
- 550 5.4.4 no MX or address record found for domain
- 550 5.1.2 <kim@a.example>: nullMX
- 550 Host a.example does not accept mail
= inactive_mailbox/policy/unknown -
rcpt 550 unknown or inactive recipient
- 550 Boite du destinataire archivee
- 550 5.2.1 user or domain is disabled
- 550 a deactivated mailbox
- 550 kim is unavailable: user is terminated
- 550 recipient rejected: temporarily inactive
- 550 vdelivermail: account is locked email bounced
- 550 The email address is on hold
- 550 due to extended inactivity new mail is not currently being accepted for this mailbox
- 525 5.7.13 user account disabled
- 550 5.2.1 Compte suspendu
- 550 mailbox closed by the owner
= policy/sender_config/auth_failure/relay_denied/spam_content/reputation -
- 554 5.7.1 HELO host unknown, blocked by blocklist
- 550 5.7.1 header From address not valid
- 550 5.7.1 <> invalid sender
- 550 Backscatter protection detected invalid or expired email address
- 550 5.7.1 Posting by non-member to a members-only list
- 553 Mail from not owned by user
- 550 null sender is not allowed
- 550 the message has been rejected by BATV defense
- 550 recipient not accepted. (batv: no tag)
- 553 5.7.1 sender not pre-approved
- 550 From: domain is invalid
- 550 5.1.0 MAIL FROM domain could not be resolved
- 550 Your email address has been blacklisted
- 550 you have been blocked by the recipient
- 550 because the recipient is only accepting mail from specific email addresses
- 550 message rejected due to user rules
- 550 recipient id refuse to receive mail
- 550 Domain of sender address b.example does not exist
- 550 5.1.8 invalid or unresolvable sender domain
- 550 RFC 1035 violation: recursive CNAME records for your domain
- 550 Rule imposed mailbox access for kim: only members
- 550 unroutable sender address
- 550 Empty envelope senders not allowed
- 550 5.7.1 unauthenticated sender unknown to this system
- 550 Access denied: unknown sender host
- 554 5.7.1 Client host unknown
- 554 5.7.1 access denied: your host name not found in DNS
- 550 Mail from unknown hosts is not accepted
- 550 5.7.1 Message refused: From address does not exist
- 501 5.1.8 mail from: no such domain
- 550 The account or domain may not exist, they may be blacklisted, or missing the proper dns entries. Sender verify failed
- 550 Message was rejected because the return path could not be verified
- 553 Envelope sender mailbox unknown
- 550 your mailbox is not registered here
- 550 5.7.1 You have no account here
= remote_system/dns_failure/connection_failure/rate_limit/expired/greylist/unknown/bad_mailbox -
- 550 5.3.0 user database lookup error
- 550 5.1.1 recipient could not be looked up: timeout
- 550 mailbox not available now, try again later
- 451 4.1.1 user unknown, try again later
- 550 5.4.3 Directory server failure
- 554 mail server permanently rejected message (#5.3.0)
- 550 5.1.1 delivery to mailbox failed: I/O error
- 550 System error looking up user
- 550 5.1.2 DNS error: a.example could not be resolved
- 550 5.4.4 Temporary failure in name resolution for recipient domain
- 550 5.3.2 mailbox host is down, unknown when it is back
- 554 5.3.5 unknown error
- 550 5.0.0 unknown internal problem
- 550 unknown
- 450 user not found
- 4.1.1 user unknown
= spam_content/policy/reputation/virus/content_error/auth_failure -
- 550 5.7.1 spam source: to unknown users
- 554 Message contains unknown MIME type
- 550 5.6.0 Subject not found
- 550 Attachment name invalid
- 554 5.7.0 URL domain unknown
- 550 5.7.1 invalid DKIM: domain not found
- 550 SPF: domain does not exist
- 550 5.7.1 From header domain has no A or MX record: unknown domain
- 550 DMARC: organisational domain not found
= relay_denied/policy/bad_domain/unknown -
- 550 that domain or user isn't in my list of allowed rcpthosts
- 553 5.7.1 not local, relaying denied to unknown user
- 550 5.7.1 user unknown or relaying denied
- 550 no relaying: domain not local
- 550 authentication required for unknown users
- 535 invalid user or password
- 535 5.7.8 user unknown
= protocol_error -
- 503 5.5.1 unknown command sequence
- 500 unknown command
- 501 unknown parameter
- 555 5.5.4 unknown option to RCPT
- 502 unknown verb
= mailbox_full -
- 550 account full, no such space left
- 554 unknown user quota exceeded
- 452 User storage limit reached
- 550 Mailbox exceeded its size
= reputation/policy/spam_content -
connect 554 resimta-2.a.example comcast BL000111
connect 554 comcast ES000010, see http://postmaster.a.example/
connect 550 Dynamic/zombied/spam IPs blocked. Write to unblock@a.example
connect 421 Too many spams from your IP (192.0.2.7), please visit http://postmaster.a.example/
mail 571 Email from 192.0.2.7 is currently blocked by the anti-spam system of A Online. The email sender or Email Service Provider may visit http://www.a.example/whitelist
connect 553 5.3.0 alph737 DNSBL:RBL 521< 192.0.2.7 >_is_blocked.For assistance forward this error to kim@a.example
connect 550 Suspected spam ip
connect 501 Connection rejected by policy [7.7] 38309, please visit www.messagelabs.com/support for more details
- 553-Message filtered. Please see the FAQs section on spam at www.messagelabs.com/support for more information. (#5.7.1)
connect 554 5.7.1 Remote IP 192.0.2.7 has a bad reputation
dot 550 A URL in this email (b.example) is listed on https://spamrl.com/. Please resolve and retry
connect 554 Your IP (192.0.2.7) is blacklisted using UCEPROTECT
connect 421 4.3.2 Your IP address is listed in the RBL
connect 550-5.7.1 [192.0.2.7] The IP you're using to send mail is not authorized to send email directly to our servers
rcpt 550 5.7.1 Mail from IP 192.0.2.7 was rejected due to listing in Spamhaus SBL
connect 554 5.7.1 Connection not authorized from this address
rcpt 550 IP blacklisted by recipient
dot 554 5.7.1 The message has been rejected because the sending host is untrusted
connect 554 mtain-dj05.a.example Your host's reputation is too low
connect 550 5.7.1 Sorry, your IP has too low a sender score
connect 450 Client host blocked, sending spam
rcpt 550 5.7.1 RBL Restriction: See https://www.b.example
mail 550 Your domain is on a blocklist
connect 554 No SMTP service: IP address is block listed
connect 554-a.example (mxa) Nemesis ESMTP Service not available 554-No SMTP service 554 IP address is black listed
rcpt 554 5.7.1 Your access to submit messages to this e-mail system has been rejected.
dot 554 5.7.1 You are sending too much spam
= rate_limit/reputation/policy/spam_content/remote_system -
- 550 Ip frequency limited
- 550 Domain frequency limited
- 550 Sender frequency limited
- 550 Suspected bulk mails
- 451 Ratelimit exceeded for mailbox
- 451 4.7.1 Received too many messages from 192.0.2.7
connect 421 4.7.0 Too many concurrent connections from your network
- 452 4.2.1 Rcpt quota: too many messages for this recipient in a day
- 550 5.7.1 Number of messages per day exceeded
- 421 Sorry, too many messages in a short time
- 450 4.7.1 Client: limits on messages per minute reached
- 421 4.7.0 connection rate limit exceeded
- 554 Too many messages sent in one hour, account blocked
- 452 Rate limited: try again in an hour
- 421 mx.a.example Too many sessions from 192.0.2.7
- 550 5.7.1 Sending quota for today used up
- 450 4.3.2 Recipient has too many messages pending
- 550 Outgoing mail from b.example has been suspended: limit reached
- 554 5.7.1 Daily recipient limit exceeded for this sender
= sender_config/dns_failure/policy/reputation -
mail 550 5.7.60 SMTP; Client does not have permissions to send as this sender
connect 550 Sorry, we do not accept mail from hosts with dynamic IP or generic DNS PTR-records
connect 550 inconsistent or no DNS PTR record for 192.0.2.7 (see RFC 1912 2.1)
connect 550 no DNS PTR record
connect 554 5.7.1 Reverse DNS lookup failed
mail 550 Domain of sender has no A, AAAA or MX record
connect 421 4.7.1 Missing or malformed reverse DNS
connect 550 Your reverse DNS is generic
ehlo 550 bad HELO: you used my own name
ehlo 550 5.7.1 Invalid HELO/EHLO name
mail 553 5.5.4 sender domain required
mail 550 5.7.1 sender's domain has no mail exchanger
connect 450 4.7.25 cannot resolve your IP to a name
mail 451 4.1.8 MX of sending domain cannot be resolved just now
= spam_content/policy/reputation -
dot 550 Mail content denied. http://service.mail.qq.com/cgi-bin/help
dot 554 Message refused by spam filter
dot 550 5.7.1 Suspected SPAM message rejected
dot 554 Spam rejected
dot 550 5.2.0 This message scored 15 and was refused
dot 550 Your message was classified as junk
dot 554 5.7.1 Bulk mail not wanted
dot 554 5.7.0 Reject, id=12345 - SPAM
dot 550 5.7.1 Message contains a blacklisted URL
dot 550 5.7.1 The message is suspected of phishing
dot 550 Rejected by content scanner
dot 551 Message refused, it contains banned words
dot 550 5.7.1 Unsolicited commercial e-mail
dot 554 5.7.1 Blocked by content filter (score 12.3)
= virus/policy/spam_content/content_error -
dot 550 Virus found in message: Eicar
dot 554 5.7.1 Executable attachment not allowed here
dot 552 5.7.0 Files of this type are blocked
dot 550 5.7.1 Malware found
dot 554 Message contains a prohibited file extension
dot 550 Infected file
dot 554 5.6.1 Password protected archives are not accepted
= relay_denied/auth_failure/policy -
rcpt 553 you are trying to use me [server-1.a.example] as a relay, but I have not been configured to let you (#5.7.1)
mail 503 Error: need EHLO and AUTH first !
auth 535 Login fail. Please enter your authorization code to login
auth 535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6
mail 530 Access denied: authentication required
rcpt 550 5.7.1 You must log in first
auth 535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy
auth 534 5.7.9 Application-specific password required
rcpt 550 5.7.1 Anonymous clients cannot relay
auth 535 5.7.8 Bad credentials
rcpt 554 5.7.1 Access denied, we only relay for our customers
rcpt 550 Access denied - relay through this host prohibited
= tls_failure/policy/relay_denied -
mail 550 SMTP is available only with SSL or TLS connection enabled
mail 530 5.7.0 Encryption required
starttls 454 TLS currently unavailable
- 403 4.7.0 TLS handshake failed
- 454 4.7.5 Server certificate not trusted
- TLS is required, but was not offered by host mx.a.example[192.0.2.1]
- Cannot start TLS: handshake failure
- Server certificate not verified
- 554 5.7.5 TLS negotiation failed
- 450 4.7.5 TLSRPT: MTA-STS policy not met
= auth_failure/policy/spam_content/sender_config/reputation -
dot 550 5.7.1 The messages violates the DMARC policy of b.example
dot 550 DKIM check failed
mail 550 5.7.1 SPF fail: 192.0.2.7 not permitted
dot 554 5.7.1 Sender authentication failed
dot 550 5.7.1 Mail forged: b.example does not allow this host
dot 550 Missing DKIM signature
dot 554 5.7.7 Email not accepted: no valid authentication found
dot 550 5.7.509 spoofed
= policy/reputation/spam_content/auth_failure/relay_denied -
dot 550 Requested action aborted [7.2] 15910
rcpt 550 5.7.1 You are not on the list of allowed senders
rcpt 550 5.7.1 Mail from outside of the organization not accepted here
rcpt 554 5.7.1 Restricted mailbox
rcpt 550 5.7.1 Only members may post to this list
rcpt 550 Mail is rejected by recipients
rcpt 550 5.7.1 Recipient address rejected: mail from your country is blocked
rcpt 554 5.7.1 <kim@a.example>: Recipient address rejected: blocked by administrator
rcpt 550 5.7.1 Blocked by local rule
dot 550 5.7.1 Message refused by mailbox owner's filter
rcpt 550 5.7.703 Your message can't be delivered because messages to kim@a.example are blocked by your organization using Tenant Allow Block List
rcpt 550 message to kim@a.example rejected: user has blocked you
dot 554 5.7.1 Data loss prevention policy hit
= remote_system/connection_failure/greylist/rate_limit/dns_failure -
auth 454 4.7.0 Cannot authenticate due to temporary system problem. Try again later
connect 451 too many errors from your ip (192.0.2.7), please visit http://postmaster.a.example/
dot 451 Temporarily unable to process your email. Please try again later.
dot 451 4.3.0 Mail server temporarily rejected message
rcpt 451 Could not load DRD for domain
connect 421 Server shutting down
connect 421 4.3.2 System not accepting network messages
dot 452 4.3.1 Insufficient system resources (UsedDiskSpace)
connect 421 4.4.1 No more connections at the moment
dot 554 5.3.0 pipe failed
rcpt 450 4.3.0 Address lookup failed, database unavailable
dot 451 4.3.0 Message held for review, come back
dot 554 5.4.0 local problem
- 421 Unexpected failure, please try later
= expired/connection_failure/dns_failure/remote_system -
- Unable to deliver message after multiple retries, giving up.
- Message could not be delivered within 48 hours
- SMTP connection timed out
- Network is unreachable
- connect to mx.a.example[192.0.2.1]:25: No route to host
- Connection reset by peer
- Connection died. (#4.4.2)
- Hi. This is the qmail-send program. I wasn't able to establish an SMTP connection. (#4.4.1)
- Deferred: Connection refused by mx.a.example.
- 554 5.4.7 message timeout (exceeded max time, last transfail: 421 unable to connect)
- [internal] Connection dropped by remote host
- Maximum retries exceeded
- queue time exceeded
- The message could not be delivered for 4 days
- [Status: Error, Address: <kim@a.example>, ResponseCode 421, , Host not reachable.]
- Timeout while waiting for the server's greeting
- DNS lookup failed: no answer from the name servers
- 4.4.3 unable to resolve MX host
- Could not connect to any mail host of the domain
= mailbox_full/inactive_mailbox -
- Mailbox full
- 552 5.2.2 kim's Inbox quota reached
- User's Disk Quota Exceeded
- The user has exceeded his storage allowance: disk quota exceeded
- 5.2.2 over quota
- account is over its storage limit
- 550 Mailbox size exceeded
- mail box full
- 451 4.2.2 mailbox over storage limit
= message_too_large -
- Message too large for this mailbox: 12 MB
- 552 5.3.4 Message exceeds server limit of 20 MB
- 552 maximum message size of 10485760 bytes exceeded
- 523 5.3.4 message too big for the system
- The size of the message exceeds the recipient's maximum
= routing_loop -
- Too many hops (26)
- mail for a.example loops back to myself
- 554 5.4.6 too many Received: lines, mail loop
- 5.4.6 (loop detected)
- 550 5.4.6 message is looping
= content_error/policy/protocol_error/spam_content -
- 451 4.5.0 SMTP protocol violation, see RFC 2821
dot 550 5.7.1 Messages without a From: header are refused
dot 554 5.6.0 Malformed MIME structure
dot 550 5.6.0 duplicate header fields
dot 554 Message rejected: missing Message-ID
dot 550 5.6.2 conversion of 8 bit content is not possible
dot 501 5.6.0 bare line feeds are not allowed
dot 550 5.6.7 SMTPUTF8 is required, but was not offered
dot 550 header line too long
= bad_mailbox +
rcpt 550 local server don't exists that user
rcpt 550 5.1.1 user unknown, for an explanation see this URL: https://a.example/bounce?id=1
rcpt 550 no such user, please follow the link below
- 550 5.1.1 unknown user. Your message is in the attachment
rcpt 550 5.1.1 The message contains an invalid recipient
rcpt 550 no such mail user
rcpt 550 5.1.1 Email ID does not exist
- 554 5.1.1 MXIN501 mailbox unknown ;id=1a;sid=2b;mta=mx7.a.example
- 550 5.1.1 Recipient not found. <http://x.co/irbounce>
- 550 5.7.1 No such user!
- 550 invalid recipient (#5.1.1)
- Mailbox unavailable: no such user
- 5.1.1 - Bad destination email address 'reject' (delivery attempts: 0)
- smtp; 550 5.1.1 RESOLVER.ADR.RecipNotFound; not found
- smtp;550 5.1.1 <kim@a.example>... User unknown
- SMTP; 550 unknown user
- Invalid recipient
- Action: failed, no such account
- <kim@a.example>: user unknown. Command output: User unknown
- kim@a.example: 550 5.1.1 unknown mailbox
- Final recipient does not exist
- Your mail could not be delivered: the address kim@a.example does not exist
- user does not exist
- We were unable to deliver your message: the mailbox does not exist
- Address not found
= bad_domain/bad_mailbox +
- The domain of the address does not exist
- 5.1.2 host unknown
- Unknown host: a.example
- Domain not found
- No such domain
- host a.example not found
= bad_mailbox +
rcpt 550 Unknown user
rcpt 550 5.1.1 <kim@a.example> User doesn't exist
- smtp; 550 5.1.1 <kim@a.example> User doesn't exist: kim@a.example
rcpt 550 5.1.1 mailbox unavailable, no such local user (Haraka)
rcpt 550 5.1.0 Address invalid or unknown
rcpt 550 Invalid recipient: kim@a.example
rcpt 550 5.1.1 Invalid recipient
rcpt 550 Account not available: no such account
rcpt 550 Unknown user or address
rcpt 550 5.1.2 Mailbox does not exist.
rcpt 550 <kim@a.example>... User unknown in local database
rcpt 550 unknown user account kim
rcpt 550 Recipient not in route list: user unknown
rcpt 550 kim@a.example is not recognised as a recipient here: unknown user
rcpt 550 5.7.1 Recipient not found in directory
rcpt 550 Requested action not taken:user account does not exist
rcpt 550 This user doesn't exist
rcpt 550 Sorry, no such mailbox exists here
rcpt 550 The user specified in RCPT does not exist
rcpt 550 5.1.1 lmtp: user doesn't exist
rcpt 550-Mailbox unknown. Either there is no mailbox associated with this name or you do not have authorization to see it. 550 5.1.1 User unknown
rcpt 550 kim@a.example: no such account in vpopmail
rcpt 550 5.4.1 Recipient address rejected: Access denied. AS(201806281)
rcpt 550 5.1.1 Delivery Failed: recipient unknown
rcpt 550 Domain valid, but no such user
rcpt 550 unknown recipient domain user
rcpt 550 User not found: kim@a.example
rcpt 550 User email address is not valid
rcpt 553 5.1.3 invalid address, no such recipient
rcpt 550 5.1.1 kim@a.example Addressee not found
rcpt 550 Addressee does not exist
rcpt 550 5.1.1 Mail for this recipient cannot be delivered, the mailbox has been deleted
rcpt 550 This email address no longer exists
rcpt 550 The account you have written to has been deleted
rcpt 550 Email address is no longer valid
rcpt 550 5.1.1 <kim@a.example>: alias not found
rcpt 550 Bad email address
rcpt 550 Wrong recipient
rcpt 550 5.1.1 recipient invalid
rcpt 550 no valid recipient address
rcpt 550 The recipient's mailbox could not be found
- The following recipient(s) cannot be reached: kim The e-mail account does not exist at the organization this message was sent to.
- The recipient's e-mail address was not found in the recipient's e-mail system. Microsoft Exchange will not try to redeliver this message for you.
- The recipient's email address isn't correct: no such mailbox
- Not delivered to: kim: User unknown
- <kim@a.example> (reason: 550 5.1.1 User unknown)
- 550 5.1.1 <kim@a.example>... User unknown (in reply to RCPT TO command)
- No such user (kim) here
- mail receiving disabled? user unknown
- The addressee is not known at this host
- Requested mailbox does not exist
- Error 550: unknown user
- user unknown; originally addressed to kim
- mailbox kim not known at this site
- The mailbox specified in the address does not exist
- vdelivermail: no mailbox here by that name. (#5.1.1)
- Recipient's mailbox does not exist
= bad_domain/bad_mailbox/dns_failure +
- The domain a.example does not exist (NXDOMAIN)
- Domain of recipient does not exist
- 5.4.4 (unable to route: no such domain)
- 5.1.10 Domain has null MX
- 550 Unroutable domain
- Illegal host name, domain does not exist
- MX for domain is "." (null MX)
= bad_domain/dns_failure/connection_failure/expired/remote_system/unknown/routing_loop -
- DNS Error: DNS server returned SERVFAIL
- DNS query for the recipient domain timed out
- Could not resolve the address of mx.a.example
- no answer from DNS
- Domain lookup error
- Couldn't look up domain: no response
- MX points to a loopback address
- the MX of a.example points back to us
- mx.a.example: cannot connect
- Host not responding
- not reachable: a.example
- No MX answered in time
= spam_content/policy/reputation -
dot 554 5.7.1 Message considered spam by FortiGuard
dot 550 This message was rejected because it looks like SPAM
dot 571 message refused by anti-spam
dot 554 5.7.1 Spam message rejected
dot 550 Spam content. Message rejected
dot 550 5.7.1 Identified SPAM
dot 554 5.7.1 Gtube pattern
dot 550 Error: content rejected
dot 550 5.7.1 Message rejected, score above threshold
dot 554 5.7.1 Refused due to its content
dot 550 5.7.1 Unwanted content
dot 550 Message looks suspicious
rcpt 550 5.7.1 We don't accept newsletters
dot 550 message rejected by Vade filter: spam
dot 550 5.7.1 Quarantined as spam
- Your message was considered as junk mail
- Mail appears to be unsolicited
= virus/policy/spam_content -
dot 554 5.7.1 virus W32/Test found
dot 550 5.7.1 Message infected, blocked
dot 554 5.7.1 Banned file type: exe
dot 550 5.7.0 attachment extension .js forbidden
dot 554 5.3.4 encrypted archive rejected
= reputation/policy/spam_content/rate_limit -
connect 554 Your access to this server is rejected: bad reputation
connect 550 5.7.1 Blacklisted host
connect 554 5.7.1 Host is in a DNS blacklist
connect 550 5.7.1 IP listed at b.example
connect 421 4.7.1 IP reputation temporarily too low
connect 554 blocked, see https://www.senderscore.org/
connect 550 permanently blocked for sending to spam traps
connect 550 5.7.0 your network is banned
connect 571 5.7.1 ip denied by access list
connect 450 IP temporarily blocked by policy
connect 554 SenderBase reputation score too low
connect 550-Mail from 192.0.2.7 denied by local policy, host is dynamic
rcpt 550 5.7.1 rejected by backscatterer.org
mail 550 5.7.1 domain reputation is too low to accept mail
= auth_failure/policy/spam_content/sender_config -
dot 550 5.7.1 DMARC failure for domain b.example, policy reject
dot 550 5.7.0 SPF hardfail
mail 550 5.7.23 SPF validation error
rcpt 550 5.7.1 Sender not authorised by SPF for b.example
dot 550 5.7.20 DKIM signature invalid
dot 554 5.7.0 unaligned From, DMARC reject
dot 550 5.7.1 authentication results failed: spf fail dkim none
mail 550 5.7.1 Domain b.example does not permit 192.0.2.7
= sender_config/policy/reputation/dns_failure -
mail 550 5.1.8 Sender's domain does not exist
mail 553 5.1.8 Domain of sender does not resolve
mail 501 5.1.7 sender syntax
mail 550 Bogus sender address
mail 550 sender domain has no MX
connect 550 rDNS missing
connect 554 5.7.1 no reverse record for 192.0.2.7
connect 550 5.7.1 generic hostname in PTR rejected
ehlo 501 5.7.1 HELO must be a valid FQDN
ehlo 550 5.7.1 HELO is localhost, rejected
rcpt 550 5.7.1 HELO mismatch with rDNS
rcpt 550 5.1.0 Invalid return path
rcpt 550 unresolvable sender
= rate_limit/policy/reputation/remote_system/spam_content -
connect 421 too many concurrent SMTP connections
rcpt 452 4.5.3 Recipient limit exceeded
dot 450 4.7.1 Too many messages for one hour
mail 450 4.7.1 Your sending rate is too high, slow down
connect 421 4.7.0 throttled
dot 550 5.7.1 Quota of outgoing messages used up
rcpt 450 4.3.2 recipient is receiving mail too fast
mail 421 4.7.0 exceeded messages allowed per connection
dot 554 5.7.1 hourly limit reached for this account
rcpt 451 4.3.1 rate limit: wait 60 seconds
- 5.7.1 daily message limit of user reached
= greylist/remote_system/rate_limit -
rcpt 451 4.7.1 Greylisted, retry in 00:05:00
rcpt 450 4.2.0 delayed by greylisting
rcpt 421 4.2.0 first seen triplet, try again in a few minutes
rcpt 451 4.7.0 Temporarily deferred, new sender and IP pair
= relay_denied/auth_failure/policy -
- unable to deliver: relay host not available
rcpt 550 5.7.1 no relay for a.example
rcpt 550 5.7.1 we are not a relay
rcpt 554 5.7.1 relaying is forbidden
rcpt 550 5.7.1 Unauthorized relay attempt
rcpt 553 5.7.1 Not local and not authenticated
mail 530 5.7.1 Client was not authenticated
mail 530 login first
auth 535 5.7.0 Invalid login or password
auth 535 login or password wrong
auth 535 5.7.139 basic authentication is disabled
auth 550 5.7.1 SMTP AUTH is disabled for this user
rcpt 550 Relay prohibited
= message_too_large -
mail 552 5.3.4 size exceeds limit
dot 552 5.2.3 Message larger than allowed
dot 554 5.3.4 Attachment too large
dot 552 message length exceeds administrative limit
mail 552 too large
dot 550 5.2.3 message size 30 MB, limit 25 MB
= mailbox_full -
rcpt 452 4.2.2 Mailbox over quota
rcpt 552 5.2.2 user is over the quota
rcpt 550 the mailbox of the recipient has no more room
rcpt 552 5.2.2 Not enough space in mailbox
rcpt 550 5.2.2 account exceeded storage
rcpt 554 quota of kim reached
- 5.2.2 maildir over quota
- mailbox for kim is full
- The recipient's mailbox has reached its maximum size
- Not enough storage space in the mailbox of kim
= inactive_mailbox/policy -
rcpt 550 5.2.1 Account disabled
rcpt 550 mailbox expired
rcpt 554 5.2.1 this account is not in use any more
rcpt 550 account suspended, contact the support
rcpt 550 The mailbox is not active
rcpt 550 User is inactive
rcpt 550 account closed
rcpt 550 Mailbox blocked by its owner
rcpt 550 5.2.1 recipient no longer accepts mail
= policy/reputation/auth_failure/relay_denied -
rcpt 550 5.7.1 mail to this group is restricted
rcpt 550 5.7.1 you may not send to this address
rcpt 550 5.7.1 Access denied by rule
rcpt 554 5.7.1 access not allowed
rcpt 550 5.7.1 rejected by user's blacklist
rcpt 550 5.7.1 Not authorized
dot 554 5.7.1 company policy forbids this message
rcpt 550 5.7.1 external mail not allowed
rcpt 550 5.7.1 list is closed for non-members
rcpt 550 administratively prohibited
= remote_system/connection_failure/dns_failure/expired -
dot 451 4.3.0 queue file write error
dot 451 4.3.2 overload
connect 421 4.3.2 too busy
dot 550 5.3.0 unspecified error in the mail system
dot 554 5.3.5 misconfigured mail system
rcpt 451 4.3.0 mail transport unavailable
rcpt 450 4.3.2 Service currently unavailable
dot 452 4.3.1 disk full
dot 451 4.4.5 network congestion
connect 421 4.4.2 timeout
- 4.3.0 internal failure
- unknown mailer error 255
- mailer died with signal 11
- 5.3.0 Other mail system problem
- transport: server closed the connection
- Resources temporarily unavailable
- delivery temporarily suspended: connect to mx.a.example[192.0.2.1]:25: Connection refused
= tls_failure/policy -
mail 550 5.7.10 plaintext not accepted, use TLS
- Certificate of mx.a.example has expired
- TLSA record does not match
- SSL handshake failed
- STARTTLS is required but not offered
= content_error/policy/spam_content/protocol_error -
dot 554 5.6.0 invalid message format
dot 550 5.7.1 no From header
dot 550 5.6.1 8bit not supported
dot 554 more than one From header
dot 550 5.6.0 NUL octets not allowed
dot 550 bare LF in message
dot 554 5.6.0 illegal characters in header
= protocol_error -
rcpt 503 5.5.1 MAIL first
mail 501 5.5.4 bad parameter
data 503 5.5.1 no valid recipients
ehlo 500 command unrecognized
rcpt 501 5.5.2 syntax error in RCPT
= routing_loop -
dot 554 5.4.6 loop detected
- mail loop
dot 550 5.4.6 hop limit exceeded
dot 554 5.4.14 too many hops
= expired/connection_failure/dns_failure/remote_system -
- Retry time expired
- delivery attempts exhausted
- Message could not be delivered for 5 days
- giving up after 12 attempts
- 5.4.7 delivery time expired
- It has been in the queue for too long
- Could not send message for past 4 hours
= sender_config/policy/auth_failure/dns_failure/reputation/unknown/protocol_error/content_error/spam_content/relay_denied/bad_mailbox -
rcpt 550 Reply-To address does not exist
rcpt 550 Sending address unknown
rcpt 550 5.1.1 sending user not found
rcpt 550 5.1.0 The originating mailbox does not exist
rcpt 550 bounce address is not a valid mailbox
rcpt 550 5.1.0 author address unknown
rcpt 550 5.1.1 <me@b.example> as a sender: user unknown
rcpt 550 MAIL FROM:<me@b.example> user unknown
rcpt 550 The user you claim to be does not exist
rcpt 550 announced host name does not exist
rcpt 550 hostname given in greeting not found
rcpt 550 the name you gave is unknown
rcpt 550 Domain in return-path not found
rcpt 550 postmaster mailbox missing at your domain
rcpt 550 Verification of sender failed: mailbox unknown
rcpt 550 unable to verify your address: no such user
rcpt 550 Sorry, I don't know you or your domain
- 550 Linked domain does not exist
- 550 domain mentioned in the message does not exist
dot 550 domain in header not found
dot 550 5.1.1 recipient in To header unknown
- 554 5.7.1 Body contains unknown address
- 550 5.7.1 From domain has no MX: domain not found
- 550 5.1.8 no such domain
- 550 User unknown, sender callback said
rcpt 550 5.1.0 we couldn't find an account for the sender
rcpt 550 5.7.1 Sender mailbox unknown, please use a valid return address
rcpt 550 5.1.7 address does not exist
mail 550 address does not exist
ehlo 550 host not found
starttls 550 user unknown
auth 550 user unknown
auth 535 no such user
= remote_system/dns_failure/connection_failure/rate_limit/greylist/bad_mailbox/bad_domain/unknown/policy/mailbox_full/inactive_mailbox -
rcpt 550 Recipient unknown due to directory outage
rcpt 550 mailbox delivery failed: unknown error
rcpt 550 5.3.0 user alias file not found
rcpt 550 account storage: unknown failure
rcpt 550 5.1.1 transport for this user not found: map does not exist
rcpt 550 Email undeliverable
rcpt 550 5.1.1 cannot determine if user exists, try later
rcpt 550 mailbox currently unknown because of maintenance
rcpt 550 5.1.1 user lookup timeout
rcpt 550 recipient verification temporarily failed
rcpt 550 5.1.2 lookup of a.example failed
rcpt 550 5.1.1 LDAP error while looking up the recipient
rcpt 550 5.3.0 mailbox server did not answer: recipient unknown
rcpt 550 5.1.1 undeliverable address: lost connection with mx.a.example
rcpt 550 5.1.1 <kim@a.example>: Recipient address rejected: undeliverable address: connect to mx.a.example[192.0.2.1]:25: Connection refused
rcpt 550 5.1.1 <kim@a.example>: Recipient address rejected: undeliverable address: host mx.a.example[192.0.2.1] said: 450 4.1.1 unknown (in reply to RCPT TO command)
rcpt 550 host mx.a.example[192.0.2.1] said: 451 4.3.0 user lookup failed
rcpt 550 5.4.4 unable to look up host: SERVFAIL
rcpt 550 5.1.2 host not found, temporarily
- 550 5.4.300 Message expired -> 450 4.1.1 user unknown
- 450 4.1.1 user unknown
- 4.1.1 no such user
- 421 no such user
rcpt 550 5.2.0 mailbox unavailable for the moment
rcpt 550 5.3.5 internal configuration error: unknown user
= policy/spam_content/bad_mailbox/bad_domain/unknown/reputation/auth_failure -
dot 556 5.1.10 null MX
- host mx.a.example[192.0.2.1] said: 550 5.1.1 unknown user (in reply to end of DATA command)
- host mx.a.example[192.0.2.1] said: 550 5.1.1 unknown user (in reply to DATA command)
- Remote host said: 550 user unknown [DATA]
- SMTP error from remote mail server after sending data block: 550 unknown user
- 192.0.2.1 failed after I sent the message: 550 no such user
- While talking to mx.a.example: >>> DATA <<< 550 5.1.1 user unknown
- LMTP error after end of data: 550 5.1.1 user unknown
dot 550 5.1.1 no mailbox
data 550 mailbox not found
- 550 permanent failure for one or more recipients (kim@a.example:554 5.7.1 user policy)
- 5.1.1 Unknown address error 554-'5.7.1 blocked by spam filter'
- 550 5.1.1 Recipient unknown, gateway got: host said: 550 5.7.1 DMARC reject
- 550 user unknown (gateway); upstream replied: 554 5.7.1 rejected as spam
= bad_mailbox/bad_domain +
- 550 permanent failure for one or more recipients (kim@a.example:550 5.1.1 user unknown)
- Remote host said: 550 user unknown [RCPT_TO]
- 550 user unknown (gateway); upstream replied: 550 5.1.1 no such user
rcpt 556 5.1.10 nullMX
- 556 Domain a.example does not accept mail
- 550 5.1.1 User unknown. Learn more at https://a.example/sender-help
- 550 5.1.1 Your recipient does not exist
- 550 5.1.1 Your message could not be delivered: the mailbox does not exist
- 550 5.1.1 The recipient you tried to reach does not exist, check your address book
- 550 5.1.1 No such user, you may have mistyped the address
- 550 5.1.1 You have sent mail to a user that does not exist
- Your email wasn't delivered because the address doesn't exist
- We're sorry, your message cannot be delivered as the mailbox was not found
- 550 mail to kim@a.example refused: no such mailbox
- 550 5.1.1 mailbox not found, closing connection
- 550 5.1.1 unknown user, message will not be retried
- 550 5.1.1 user unknown; try another address
- 550 user unknown, contact postmaster@a.example
= mailbox_full -
- 550 5.2.2 <kim@a.example> User's Quota Exceeded
- 552-5.7.0 Number of messages in the mailbox exceeded
- 552 #5.2.2 mailbox would be over quota
- 422 kim@a.example: over quota
- 5.2.2 The mailbox quota is exhausted
- 450 4.2.2 user's mailbox has no room left
- 552 mailbox limit reached
= reputation/policy/spam_content -
- 550 5.7.1 Mail from MTA (192.0.2.25) not accepted by (RBL) rule
- 553 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using bl.a.example
- 550 5.7.1 Access to this mail system refused: bad neighbourhood
- 550 Please contact the postmaster: your IP has been blocked
- 554 5.7.1 The connecting IP is on our internal blocklist
- 421 refused, 192.0.2.7 found in dnsbl.a.example
- 550 Denied by blacklist dbl
- 550 5.7.1 We do not accept mail from spammers
- 554 Refused. Your IP range is blocked
- 550 ODMR? 5.7.1 spam host
- 450 4.7.1 Service refused: host has poor score
= policy/reputation/spam_content/relay_denied/sender_config/auth_failure -
- 550 Administrative prohibition (state 17)
- 550 sorry, you are in my badmailfrom list
- 554 5.7.1 Your message was rejected by the recipient organization's policy
- 550 5.7.1 not permitted by local rules
- 550 5.7.1 this message violates our policy
- 550 #5.7.1 Your access to submit messages to this e-mail system has been rejected.
- 550 Denied by policy
- 550 5.7.1 closed mailing list
- 554 5.7.1 <kim@a.example>: Sender address rejected: please see http://b.example/policy
- 550 rejected because of the country of origin
- 550 5.7.129 RESOLVER.RST.RestrictedToRecipientsPermission; not authorized to send to recipient
= content_error/policy/protocol_error/spam_content -
- 550 5.6.9 improper use of 8-bit data in message header
- 554 5.6.3 conversion required but not supported
- 550 5.6.0 content of the message could not be parsed
- 550 Date header is missing or invalid
- 554 5.7.1 more than one To: header
- 554 5.6.0 Mail message is malformed
- 550 5.5.0 8BITMIME? charset not allowed
- 550 invalid MIME boundary
- 554 Invalid multipart content
= spam_content/policy/reputation -
- 550 5.7.1 Message scored as spam
- 554 5.7.1 Rejected, id=1 - SPAM
- 550 Mail appears to be bulk
- 554 Your mail seems to be spam
- 550 5.7.1 advertising mail is not accepted
- 550 5.7.1 [C15] spam rejected
- 554 5.7.1 detected as phish
- 550 message content not accepted
- 550 blocked for spam
- 571 5.7.1 Message contains spam URL
= relay_denied/auth_failure/policy -
- 550 5.7.1 <kim@a.example> domain isn't handled here
- 554 Transaction failed: domain not local
- 550 5.7.1 Invalid access to residential mail gateway
- 550 must use authenticated smtp
- 550 5.7.1 relaying mail to a.example is not allowed
- 454 Relaying temporarily denied
- 535 5.7.3 authentication failed
- 550 5.7.1 You must authenticate to relay
= rate_limit/reputation/policy -
- 421 4.7.1 Too many connections for your IP
- 550 5.7.1 Too many spam messages from your IP? rate limit
- 452 4.3.2 Connection rate limit exceeded
- 451 4.7.1 Message rate limit exceeded for sender
- 421 4.3.2 All server ports are busy: too many connections
- 450 4.7.0 over quota for messages per day
- 554 5.7.0 sending limits reached
- 421 4.7.0 Exceeded the number of mails per minute
= remote_system/connection_failure/expired/dns_failure/greylist -
- 420 4.2.0 service unavailable
- 451 4.3.0 Mail server temporarily rejected message.
- 550 5.3.0 mail system failure
- 421 4.3.0 unable to accept mail at this time
- 450 4.4.0 dns lookup failed
- 451 4.4.3 DNS servfail
- 451 qqt failure (#4.3.0)
- 451 qq temporary problem (#4.3.0)
- 554 5.3.0 qq internal bug (#4.3.0)
- 421 out of memory (#4.3.0)
- 451 4.3.0 collect: I/O error
- 452 4.4.5 Insufficient disk space; try again later
- 451 4.3.5 aliases file error
- 5.3.5 local configuration problem
- 4.3.2 mail system is being upgraded
- SMTP server went away
- the remote server terminated the session
- premature end of input
= tls_failure/policy -
- 550 5.7.4 TLS encryption is mandatory
- 5.7.5 certificate untrusted
- 554 5.7.1 session encryption is required
- 523 5.7.10 must use TLS
= auth_failure/policy/spam_content/sender_config -
- 556 Unsigned message: DMARC
- 550 5.7.1 SPF record of b.example does not list 192.0.2.7
- 550 5.7.1 Message rejected by DMARC
- 550 5.7.0 The domain b.example has no SPF record
- 554 5.7.1 signature verification failed (DKIM)
- 550 5.7.26 auth required
= sender_config/policy/reputation/dns_failure -
- 553 <me@b.example>; Invalid domain of sender
- 550 5.7.1 Mail from a host without reverse DNS
- 554 5.7.1 Bad MAIL FROM
- 501 5.5.4 invalid HELO
- 550 5.1.8 cannot resolve sender domain
- 450 4.1.8 sender domain lookup failed
- 550 invalid address of sender
- 553 5.1.7 sender syntax
= message_too_large -
- 552 5.3.4 message exceeds 20480000 bytes
- 552 sorry, that message size exceeds my databytes limit (#5.3.4)
- 554 5.3.4 message too long
- 552 size of message exceeds limit
- 550 5.2.3 too large for the recipient
= virus/policy/spam_content -
- 554 5.7.1 message contains a worm
- 550 5.7.1 .zip files are not allowed
- 550 malware detected by ClamAV
- 552 5.2.3 banned attachment
= routing_loop -
- 554 5.4.6 mail is looping
- 554 too many hops, this message is looping (#5.4.6)
- 550 5.4.12 SMTP; Hop count exceeded
- 5.3.5 system config error: mail loops back to me
= expired/connection_failure/remote_system -
- 4.4.7 delivery time expired
- 5.4.7 retry timeout
- 4.4.1 no response from host
- 554 message has exceeded the maximum time in queue
- Warning: message still undelivered after 4 hours
= inactive_mailbox/policy/bad_mailbox -
- 550 account has been disabled (#5.2.1)
- 550 the customer has closed the mailbox
- 550 5.2.1 mailbox administratively disabled
- 550 disabled mailbox
- 550 5.2.1 user's account is expired
- 550 recipient account suspended by provider
= bad_mailbox +
- 550 5.1.1 unknown user kim@a.example
- SMTP error message: 550 5.1.1 user unknown
- Reason: 550 Unknown user
- 550 sorry, no such user (#5.1.1)
- 511 5.1.1 unknown address or alias
- kim@a.example: mailbox does not exist
- 553 5.1.1 no such recipient
- 550 5.1.0 unknown mailbox
- 550 No such mailbox: kim
- 550 kim... user unknown
= bad_domain/bad_mailbox/dns_failure +
- x.4.4? 550 5.4.4 host not found
- 550 5.1.2 domain part of the address is invalid
- 550 bad destination host a.example
- 5.1.2 unknown mail domain
= protocol_error -
- 500 5.5.1 unknown command
- 501 5.5.2 RCPT TO syntax error
- 503 5.5.0 need MAIL before RCPT
- 550 5.5.0 SMTP protocol error
- 554 SMTP synchronization error
- 502 5.5.1 not implemented
= bad_mailbox/inactive_mailbox +
rcpt 550 5.1.1 <kim@a.example>: this address does not exist on our platform
rcpt 550 Mailbox kim@a.example unknown on this server
- 550 5.1.1 Sorry, we couldn't find the recipient you wanted
- 550 That recipient is not one of our users
rcpt 550 No account exists for kim@a.example
rcpt 550 unknown recipient: kim
rcpt 550 5.1.1 recipient does not exist here
- 550 Requested mail action not taken: mailbox does not exist
- smtp;550-5.1.1 The email account that you tried to reach does not exist
- 554 5.1.1 Unknown recipient address
- 550 5.0.0 User unknown (kim)
rcpt 550 Not an existing mailbox
rcpt 553 <kim@a.example> unknown user
- 550 kim: no such user here
rcpt 550 mailbox removed
- 5.1.1 (user not found)
rcpt 550 5.1.1 Diese Adresse existiert nicht
rcpt 550 5.1.1 Compte inexistant
rcpt 550 5.1.1 La casilla no existe
rcpt 550 5.1.1 Indirizzo inesistente
rcpt 550 5.1.1 Адресат неизвестен
rcpt 550 5.1.1 メールアドレスが見つかりません
rcpt 550 5.1.1 邮箱不存在
= bad_domain/bad_mailbox/dns_failure +
- 550 The host part of the address is unknown
- 550 5.1.2 nonexistent domain
rcpt 556 domain takes no mail
- No MX record for the domain
= mailbox_full/inactive_mailbox -
- 552 5.2.2 Maximum mailbox size reached
- 450 Mailbox full, delivery will be tried again
rcpt 550 user's quota is exhausted
- The mailbox of the recipient is overloaded with mail: over quota
= rate_limit/reputation/policy/remote_system -
- 421 4.7.0 you have opened too many sessions
- 450 4.7.1 mails per minute exceeded
- 452 too many messages in this transaction
- 550 5.7.1 You exceeded the daily quota
- 451 4.7.1 sender exceeded the limit of recipients
- 421 Too much traffic from your network
- 554 5.7.0 The account has sent too many mails
= reputation/policy/spam_content -
connect 554 5.7.1 your IP is not welcome
connect 550 IP has been listed by a reputation service
connect 421 4.7.1 [192.0.2.7] on blocklist, try again later
connect 554 Connection rejected because of low sender score
connect 550 5.7.1 cloud hosting addresses are blocked
mail 554 5.7.1 the domain b.example is on a block list
dot 554 5.7.1 Too much spam from this sender's network
= auth_failure/policy/spam_content/sender_config -
dot 550 5.7.1 SPF and DKIM failed
dot 550 From domain fails DMARC
mail 550 5.7.1 SPF: not a permitted sender
dot 421 4.7.27 SPF did not pass
rcpt 550 5.7.1 spoofing of our own domain is not allowed
= sender_config/policy/dns_failure/reputation/auth_failure -
rcpt 550 Mail from 192.0.2.7 is refused because it is listed
rcpt 550 5.7.1 sender unknown in directory
mail 550 b.example has no valid MX
connect 554 no PTR
rcpt 550 5.1.8 sender domain invalid
rcpt 550 5.1.1 the sender you gave is no user of ours
ehlo 550 your name does not resolve
rcpt 550 your server is unknown to us
- 550 From: address is not a valid user
- 550 envelope sender unknown
= spam_content/policy/reputation/virus -
dot 550 the message was held as spam
dot 554 5.7.1 mail refused, content looks like junk
dot 550 5.7.1 phishing link found
dot 554 5.6.0 forbidden attachment type
dot 550 virus detected in attachment
dot 550 5.7.1 scam
= relay_denied/auth_failure/policy -
rcpt 550 5.7.1 cannot relay for you
rcpt 554 5.7.1 not relaying to a.example
mail 530 5.7.0 please log in
auth 535 5.7.8 login refused
rcpt 550 not our domain, relaying denied
= content_error/policy/protocol_error/spam_content/message_too_large -
dot 550 5.6.0 mail without Date header
dot 554 message is not RFC 5322 compliant
dot 550 line too long: 1500 octets
dot 554 5.6.0 invalid character in header
dot 500 line exceeds 998 octets
= message_too_large -
dot 552 5.3.4 message bigger than 10 MB
mail 552 SIZE too large
dot 554 5.2.3 attachment exceeds the size limit
= greylist/remote_system/rate_limit -
rcpt 450 4.7.0 greylisting active, retry in 10 minutes
rcpt 451 4.7.1 please retry later, sender not yet known
= remote_system/connection_failure/dns_failure/expired -
dot 451 4.3.0 backend unavailable
rcpt 451 4.3.0 try again, database is locked
rcpt 550 5.1.1 no answer from user directory
dot 554 5.3.0 storage failure
- connect: operation timed out
- 4.4.2 connection lost
- 4.4.3 no name server answered
- TCP connection could not be made
- gave up after 5 days
= tls_failure/policy -
- 454 4.7.0 TLS handshake with peer failed
mail 550 5.7.10 encryption is mandatory here
- 5.7.5 DANE: no usable TLSA record
= routing_loop -
- 554 5.4.6 message loops
- 5.4.6 hop count too high
= protocol_error -
rcpt 503 5.5.1 out of sequence
mail 501 5.5.4 unknown parameter
ehlo 502 not implemented
= inactive_mailbox/policy -
rcpt 550 5.2.1 account not active
rcpt 550 mailbox frozen because of inactivity
rcpt 554 the user's account has been suspended
rcpt 550 this mailbox has been closed
= policy/reputation/auth_failure/relay_denied/unknown/bad_mailbox -
rcpt 550 5.7.1 you cannot write to this list
rcpt 550 5.7.1 local policy
dot 554 5.7.1 denied by mail rule
rcpt 550 recipient has blocked the sender
- 550 refused
dot 550 5.1.1 no such user
data 550 mailbox not found
- 550 no such user (in reply to end of DATA command)
rcpt 550 unknown
= remote_system/dns_failure/connection_failure/bad_mailbox/bad_domain -
rcpt 550 5.1.1 user check failed: temporary error
rcpt 550 5.1.2 domain could not be resolved right now
rcpt 550 5.1.1 lookup of recipient failed
"""

# What people who run relays met, in our words.
REPORTED = """\
= auth_failure/policy/relay_denied -
dot 421-4.7.27 Slowed down: SPF does not pass for the MAIL FROM domain of this bulk mail. 421 4.7.27 https://support.google.com/mail/answer/81126 a1 - gsmtp
dot 421 4.7.32 Slowed down: the From header aligns with no authenticated organizational domain
dot 550 5.7.1 Not accepted: the owner of b.example forbids it in the DMARC policy
mail 550 Submitter failed to authenticate - https://community.mimecast.com/docs/DOC-1369#550
auth 535 Authentication not allowed on these servers. IB401
= tls_failure/policy -
mail 421 4.7.29 Slowed down, the connection had no TLS. https://support.google.com/mail/answer/81126#tls
- 550 5.7.325 certificate-host-mismatch: the remote certificate must name the host (DANE)
= rate_limit/reputation/spam_content/policy -
dot 421 4.7.28 Unusually much mail with your DKIM domain. https://support.google.com/mail/?p=UnsolicitedRateLimitError
dot 550 5.7.233 Not sent: this tenant exceeded its daily limit of external recipients
rcpt 452 Too many recipients received this hour
rcpt 421 4.1.1 MXIN503 Hourly ratelimit for your IP exceeded ;id=1a;sid=2b
auth 451 Requested mail action not taken: too much fail authentication
mail 553 5.7.2 [TSS09] All messages from 192.0.2.7 are deferred for good. See https://postmaster.yahooinc.com/error-codes
= policy/reputation/sender_config/spam_content -
mail 550 5.1.8 Access denied, bad outbound sender. AS(42004)
rcpt 550 5.7.507 Access denied, rejected by recipient
rcpt 521 Block permanently (Sender Filtering/Authentication)
connect 550 5.7.0 Dynamic Reputation lists this server as delayed, see https://ipcheck.proofpoint.com/?ip=192.0.2.7
connect 554 resimta-1.a.example comcast 192.0.2.7 Comcast takes no mail from this server: BL000010, see https://postmaster.xfinity.com/
connect 421 resimta-1.a.example comcast 192.0.2.7 Reverse DNS failure : Try again later
connect 554-a.example (mxa) Nemesis ESMTP Service not available 554-No SMTP service 554-Bad DNS PTR resource record. 554 https://postmaster.a.example/case?c=rdns
connect 550 smtp-19.a.example IP is on the list of CSI. http://csi.cloudmark.com/reset-request/?ip=192.0.2.7 [smtp-19.a.example; LIB_102]
= sender_config/dns_failure/auth_failure -
dot 451 The name server of the RFC.5322 from domain gave no answer in time: b.example
= remote_system/connection_failure/greylist -
rcpt 450 4.1.1 <kim@a.example>: Recipient address rejected: could not check that recipient just now
= bad_mailbox +
rcpt 504 5.5.2 <kim>: Recipient address rejected: need fully-qualified address
"""

DIAGNOSTICS = """\
= bad_mailbox +
- Your message wasn't delivered to kim@a.example because the address couldn't be found, or is unable to receive mail.
- Your message to kim@a.example couldn't be delivered. The address you sent your message to wasn't found at the destination domain.
- The email address you entered couldn't be found. Please check the recipient's email address and try to resend the message.
- Die Adresse kim@a.example wurde nicht gefunden.
- L'adresse kim@a.example est introuvable
- No se ha encontrado la dirección kim@a.example
- L'indirizzo kim@a.example non è stato trovato
- O endereço kim@a.example não foi encontrado
- Het adres kim@a.example is niet gevonden
- Nie znaleziono adresu kim@a.example
- Адрес kim@a.example не найден
- アドレス kim@a.example が見つかりませんでした
- 找不到地址 kim@a.example
- User not listed in public Name & Address Book
- User kim (kim@a.example) not listed in Domino Directory
- Sorry, no mailbox here by that name. (#5.1.1)
- This user doesn't have an account here
- unknown user: "kim"
- x-unix; User unknown
- Recipient address does not exist
- 5.1.1 unknown or illegal alias: kim@a.example
- #5.1.1 smtp;550 5.1.1 User unknown
- mailbox not found
- Unknown local part kim in <kim@a.example>
- kim@a.example: no such recipient
- User unknown: kim
- all relevant information: 550 unknown recipient
- The recipient name is not recognized
- The e-mail account does not exist at the organization this message was sent to. Check the e-mail address
- kim's mailbox does not exist on this server
= bad_domain +
- Nowhere to deliver mail to for domain: a.example
- the recipient's domain states that it accepts no mail
- domain a.example is not set up for e-mail: MX 0 .
- 5.1.10 (recipient address has null MX)
- a.example publishes a null MX (RFC 7505)
- 554 5.4.4 SMTPSEND.DNS.NonExistentDomain; nonexistent domain
- an MX or SRV record indicated no SMTP service
- Your message wasn't delivered to kim@a.example because the domain a.example couldn't be found.
- unrouteable address
- Sorry, I couldn't find any host named a.example. (#5.1.2)
- Sorry, I couldn't find a mail exchanger or IP address for the recipient domain. (#5.4.4)
- Host or domain name not found. Name service error for name=a.example type=MX: Host not found
- Domain a.example does not accept mail (nullMX)
- Host unknown (Name server: a.example: host not found)
- all relevant MX records point to non-existent hosts
- an MX or SRV record indicated no SMTP service: null MX
- 5.1.2 (bad destination system: no such domain)
- Recipient domain does not exist
- an invalid domain: no MX record for the recipient domain
- The domain has a null MX record and takes no mail
= dns_failure/connection_failure/remote_system/expired/bad_domain -
- DNS Error: DNS type 'mx' lookup of a.example responded with code SERVFAIL
- DNS Error: 1234567 DNS type 'mx' lookup of a.example responded with code NXDOMAIN Domain name not found: a.example
- Host or domain name not found. Name service error for name=a.example type=MX: Host not found, try again
- host lookup did not complete
- CNAME lookup failed temporarily. (#4.4.3) I'm not going to try again; this message has been in the queue too long.
- Name service error for name=mx.a.example type=A: Malformed or unexpected name server reply
- unable to look up host a.example: DNSSEC validation failure
- Could not look up the domain
- lost connection with mx.a.example[192.0.2.1] while receiving the initial server greeting
- conversation with mx.a.example[192.0.2.1] timed out while sending RCPT TO
- connect to mx.a.example[192.0.2.1]:25: Connection refused
- Sorry, I wasn't able to establish an SMTP connection. (#4.4.1) I'm not going to try again; this message has been in the queue too long.
- retry timeout exceeded
- retry time not reached for any host after a long failure period
- all hosts have been failing for a long time and were last tried after this message arrived
- Message expired, connection refused
- The recipient server did not accept our requests to connect.
- connection timed out while talking to the mail server
- temporary failure in name resolution
- Recipient server unavailable, will retry
- No route to host
- local delivery failed
- Remote server is not answering
= sender_config/policy/auth_failure/reputation/relay_denied -
- Sender address rejected: User unknown in virtual alias table
- sender unknown
- bad sender: mailbox not found
- Your address is not known to this server
- Client host rejected: cannot find your hostname
- HELO/EHLO argument unknown host
- Connected to 192.0.2.1 but sender was rejected. Remote host said: 550 no such user
- host mx.a.example[192.0.2.1] said: 550 5.1.0 <me@b.example>: Sender address rejected: User unknown in virtual mailbox table (in reply to RCPT TO command)
- host mx.a.example[192.0.2.1] said: 550 5.1.1 unknown user (in reply to MAIL FROM command)
- SMTP error from remote mail server after MAIL FROM:<me@b.example>: 550 unknown user
- You are not allowed to send as this address
- Please turn on SMTP authentication in your mail client
= spam_content/policy/content_error/reputation/bad_mailbox/unknown/auth_failure/remote_system/rate_limit -
- host mx.a.example[192.0.2.1] said: 550 5.1.1 mailbox unavailable (in reply to end of DATA command)
- The message was not delivered because the URL in it points to an unknown host
- invalid address in header
- malformed address: kim@a.example may not follow lee@b.example
- The group kim may not exist, or you may not have permission to post messages to it
- rejected
- Not delivered
- unknown
- not found
- file not found
- Message rejected due to content restrictions
- Unknown error
- command not found
- The following addresses had permanent fatal errors
- unknown mailer error 1
- pipe to program exited with status 67
- can't create user output file
- Delivery failed 1 attempt
- I/O error: no such file or directory
- mail server returned: unknown
= unknown/policy/rate_limit/remote_system/connection_failure/expired/routing_loop/dns_failure -
- The e-mail system was unable to deliver the message, but did not report a specific reason. Check the address and try again.
- Undeliverable Address: no transport provider was available
- The message reached the recipient's e-mail system, but delivery was refused. Attempt to resend the message.
- A communication failure occurred during the delivery of this message.
- This message hasn't been delivered yet. Delivery will continue to be attempted.
- all relevant MX records point to the local host
- No route found to domain a.example from server X. Check the Domain documents in the Domino Directory.
- Your message could not be delivered, you do not have create permissions on this folder
- Recipient user name kim not unique. Several matches found in Domino Directory.
- The server has tried to deliver this message, without success, and has stopped trying.
= mailbox_full -
- kim's mailbox is full and can't accept messages now
- mailbox for user is full
- The recipient's inbox is full. https://support.google.com/mail/?p=OverQuotaTemp
- Quota exceeded. The recipient's mailbox is full.
- Das Postfach von kim ist voll
- La boîte de réception est pleine
= inactive_mailbox/policy -
- The email account that you tried to reach is disabled.
- The account of kim has been suspended
= message_too_large -
- Your message is too large to send to kim@a.example
- message size exceeds limit of the server
= routing_loop -
- Error transferring to MX.A.EXAMPLE; Maximum hop count exceeded. Message probably in a routing loop.
= expired -
- Message will be deleted from queue: too old
- Delivery to this address has failed for 5 days; giving up
- delivery temporarily suspended: message expired after 4 days
"""


def server_replies(text: str) -> list[tuple[frozenset[str], bool, str, str]]:
    """Right categories, whether the address is proven bad, stage or nothing, reply."""
    cases = []
    categories, proven = frozenset[str](), False
    for line in text.splitlines():
        stage, _, rest = line.partition(" ")
        if stage == "=":
            names, _, sign = rest.partition(" ")
            categories, proven = frozenset(names.split("/")), sign == "+"
        else:
            cases.append((categories, proven, stage.strip("-"), rest))
    return cases
