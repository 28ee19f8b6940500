"""Replies as mail servers word them, by the category that they should get.

Written down from knowledge of the servers and their manuals, none taken from the bounce corpus: a
rule that only knows the corpus fails here. Each line is a stage, or "-" where it is not known, and
the reply.
"""

REPLIES = """\
= bad_mailbox
rcpt 550 "kim" is not a user here
rcpt 550 Mail address does not resolve to a mailbox
rcpt 550 cuda_nsu <kim@a.example>
rcpt 550 Delivery refused: this is not one of our addresses
rcpt 550 5.1.1 The recipient address you entered could not be located
rcpt 550 #5.1.1 bad address kim@a.example
rcpt 550 Address not present in directory
rcpt 550 destination addresses were unknown
rcpt 550 5.1.1 can't accept user
rcpt 550 recipient is not accepted
rcpt 550 this email address is wrong or no longer valid
rcpt 550 undeliverable address
rcpt 550 unknown e-mail address
rcpt 550 vdeliver: invalid or unknown virtual user
rcpt 550 your envelope recipient has been denied
rcpt 550 mailbox is invalid
rcpt 550 no thank you rejected: account unavailable
rcpt 550 nobody here by that name
rcpt 550 sorry, address not found
rcpt 550 user account is unavailable
rcpt 550 5.1.1 There is no such user
rcpt 550 the email address was not found; check your address book
rcpt 550 Delivery to non-existing mailbox
rcpt 550 mailbox not present
rcpt 554 5.1.1 all recipients unknown
rcpt 550 the user you are trying to contact does not exist
rcpt 550 Mailbox name not found
rcpt 550 Recipient kim not recognized
rcpt 550 5.1.1 no recipient matching
rcpt 553 5.1.1 address rejected by server: not our user
rcpt 550 User is unknown {mx-us009}
rcpt 550 invalid user
rcpt 550 rejecting: no such mailbox
rcpt 550 "kim" is not a valid recipient at this host
rcpt 550 Sorry, your intended recipient has too many letters: no such user
rcpt 550 Account does not exist
rcpt 554 No such account
rcpt 550 that address is not valid
rcpt 550 address is not listed
rcpt 550 Username unknown
rcpt 550 the recipient cannot be verified
rcpt 550 Recipient verification failed
rcpt 550 5.2.0 kim@a.example: no mailbox for this address
rcpt 550 5.1.1 User email address not found in database
rcpt 553 unknown address
rcpt 550 No one by that name
rcpt 550 Requested action not taken: user not found
rcpt 550-Callback setup: 550 recipient invalid
rcpt 550 5.1.1 <kim@a.example>: Recipient address rejected: undeliverable address: host mx.a.example[192.0.2.1] said: 550 5.1.1 User unknown (in reply to RCPT TO command)
rcpt 550 5.1.0 Address rejected.
rcpt 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient kim@a.example not found by SMTP address lookup
rcpt 550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [XX.eop-EUR01.prod.protection.outlook.com]
rcpt 550 No such person at this address
rcpt 553 5.3.0 <kim@a.example>... No such user
rcpt 553 sorry, this recipient is not in my validrcptto list (#5.7.1)
rcpt 550 Invalid recipient <kim@a.example> (#5.1.1)
rcpt 550 Unknown recipient
rcpt 550 Address unknown
rcpt 550 Callout verification failed: 550 5.1.1 User unknown
rcpt 550 Unrouteable address
rcpt 554 delivery error: dd This user doesn't have a a.example account (kim@a.example) [0]
rcpt 550 Message was not accepted -- invalid mailbox. Local mailbox kim@a.example is unavailable: user not found
rcpt 550 5.1.1 sorry, no such mailbox here
rcpt 550 5.1.1 Mailbox does not exist. [Cloudmark]
rcpt 550 kim@a.example... no such alias
rcpt 550 kim@a.example is not a valid mailbox
rcpt 550 The email address you entered couldn't be found. Please check the recipient's email address and try to resend the message.
rcpt 550 cannot deliver mail for <kim@a.example>: no such user
rcpt 550 Recipient unknown
rcpt 550 not a known user
rcpt 550 5.1.1 User unknown; rejecting
rcpt 550 5.1.1 unknown or illegal alias: kim@a.example
rcpt 550 Mailbox <kim@a.example> not found
rcpt 550 kim@a.example: user unknown
rcpt 551 5.1.1 unknown user
rcpt 550 RCPT TO:<kim@a.example> User unknown
rcpt 554 5.1.1 Error: invalid recipient
rcpt 550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]
rcpt 550 Benutzer unbekannt
rcpt 550 5.1.1 Recipient address rejected: no such recipient here
rcpt 550 Sorry, no valid recipient
rcpt 550 5.1.3 bad address syntax
rcpt 550 permanent failure for one or more recipients (kim@a.example:550 No such user)
rcpt 550 Mailbox is not available
rcpt 550 5.2.1 The email account does not exist here
rcpt 550 kim@a.example No such user - psmtp
rcpt 550 Not a valid recipient
rcpt 550 This mailbox does not exist
rcpt 550 Recipient does not exist on this system
rcpt 550 Account not found
rcpt 550 5.1.1 Addressee unknown
rcpt 550 no mailbox for x
rcpt 550 Employee no longer works here
rcpt 550 Rejected: no such address
rcpt 550 5.1.1 Invalid email recipients
rcpt 550 Verification failed for <kim@a.example> 550-No Such User Here
rcpt 550 user not exist
rcpt 550 5.1.1 <kim@a.example>: Recipient address rejected: User doesn't exist
rcpt 550 kim@a.example... User unknown (in reply to RCPT TO command)
rcpt 550 Mailbox unknown.
rcpt 550 Mail is not accepted: no such user here
rcpt 550 5.1.1 The recipient kim@a.example does not exist
rcpt 554 Recipient address does not exist
rcpt 550 That user doesn't exist on this server
rcpt 550-Unknown user account 550 x
rcpt 550 User Not Found (1234)
rcpt 550 no such address here
rcpt 550 5.7.1 <kim@a.example>: Recipient address rejected: undeliverable address: User unknown in virtual mailbox table
rcpt 550 unknown local-part "x" in domain "a.example"
rcpt 550 Unknown local part x in <kim@a.example>
rcpt 550 5.1.1 Mailbox "x" does not exist
rcpt 550 no user by that name
rcpt 550 Recipient not recognised
rcpt 553 Invalid recipient kim@a.example (Mode: normal)
rcpt 550 We do not have a user by that name
rcpt 550 Recipient Rejected: No account by that name here
rcpt 550 5.1.1 Recipient not found. <http://a.example/>
rcpt 550 5.1.1 : Recipient address rejected: Dest not found
rcpt 550 recipient kim@a.example doesn't have account on our system
rcpt 550 5.1.1 Recipient rejected.
rcpt 550 Destination address not found in LDAP
rcpt 550 5.1.1 unknown or invalid recipient
rcpt 550 The user account has been deleted
rcpt 550 Rcpt rejected: no such local user
rcpt 501 5.1.3 Invalid address
rcpt 550 Usuario desconocido
rcpt 550 5.1.1 Utilisateur inconnu
rcpt 550 user unknow
rcpt 550 5.1.1 kim@a.example Recipient not found (address verification)
rcpt 550 5.1.1 Email address not known
rcpt 550 This recipient e-mail address was not found
rcpt 550 RCPT address has non-existant mailbox
= bad_domain
rcpt 550 5.4.4 all relevant MX records point to non-existent hosts
rcpt 554 5.1.2 no mail server for that domain
- 550 5.1.2 no such host
- 550 5.1.2 <x@b.example>: Recipient address rejected: Domain not found
rcpt 556 5.1.10 Recipient address has null MX
rcpt 550 5.4.310 DNS domain b.example does not exist [Message=InfoDomainNonexistent]
- 550 5.1.2 Bad destination host 'DNS Hard Error looking up b.example (MX): NXDomain'
- 554 5.4.4 Invalid domain name
rcpt 550 no such domain
- 550 Unknown host
rcpt 550 5.1.2 Host unknown
rcpt 550 The recipient domain b.example could not be resolved
rcpt 556 5.1.10 Destination domain does not accept mail (nullMX)
= inactive_mailbox
rcpt 550 Account is inactive
rcpt 550 5.2.1 user's mailbox is currently suspended
rcpt 550 account deactivated
rcpt 550 Unused email account
rcpt 554 this account has been temporarily suspended
rcpt 550 not currently accepting mail: mailbox disabled
rcpt 550 mailbox is locked
rcpt 554 delivery error: dd Sorry, your message to kim@a.example cannot be delivered. This mailbox is disabled (554.30).
rcpt 550 account is disabled
rcpt 550 5.2.1 <kim@a.example> account suspended
rcpt 550 Mailbox disabled for this recipient
rcpt 550 User account is expired
rcpt 554 5.2.1 mailbox inactive
rcpt 550 User suspended
rcpt 550 5.7.1 Recipient not allowed: account locked
rcpt 550 5.2.1 Mailbox not active
rcpt 550 Account blocked
rcpt 550 The account has been suspended for inactivity
rcpt 550 5.7.1 Mailbox has been frozen
rcpt 550 Domain has been suspended? account inactive
rcpt 525 5.7.13 Disabled recipient address
= mailbox_full
rcpt 550 mail box space not enough or too many mail in it
rcpt 451 mailbox exceeds allowed size
rcpt 552 account is exceeding their quota
rcpt 552 The user's mailbox exceeded the local limit
rcpt 552 user mail box full
rcpt 550 would be over the allowed quota
rcpt 552 sorry, the recipient mailbox is full - try again later
rcpt 552 message would exceed quota for kim
rcpt 554 mailbox has no space left
rcpt 452 4.2.2 Quota full
rcpt 552 5.2.2 storage quota exceeded
rcpt 550 this mailbox has too many messages on the server
rcpt 552 5.2.2 The email account that you tried to reach is over quota.
rcpt 452 4.2.2 The email account that you tried to reach is over quota. Please direct the recipient to clear space
rcpt 552 5.2.2 This message is larger than the current system limit or the recipient's mailbox is full. Create a shorter message body or remove attachments and try sending it again.
rcpt 550 5.2.2 Mailbox full
rcpt 550 kim@a.example mailbox is full (MB-5342) or quota exceeded
rcpt 552 5.2.2 Over STORAGE quota
rcpt 554 5.2.2 mailbox full;STOREDRV.Deliver.Exception:QuotaExceededException; Failed to process message due to a permanent exception
rcpt 552 Requested mail action aborted: exceeded storage allocation
rcpt 422 4.2.2 <kim@a.example>: user is overquota
rcpt 552 Account storage exceeded
rcpt 450 4.2.2 user has exceeded his/her disk space limit.
rcpt 550 5.5.0 Boite du destinataire pleine. Recipient overquota. OFR_417 [417]
rcpt 552 The recipient's mailbox cannot accept messages as it is over quota
rcpt 552 Message would exceed mailbox quota
rcpt 550 Mailbox quota exceeded
- 552 5.7.0 Not enough disk space in mailbox
rcpt 550 Mailbox is over quota
rcpt 452 4.2.2 kim@a.example Over quota
rcpt 452 4.2.1 mailbox temporarily disabled: over quota
rcpt 552 5.7.1 Quota exceeded, message rejected
rcpt 554 Recipient's mailbox exceeded its quota
rcpt 450 4.2.2 The recipient's mailbox is out of storage space
rcpt 550 El buzón está lleno
= message_too_large
data 550 Your email is bigger than 20 MB
data 552 message exceeds maximum message size
mail 552 mail size limit exceeded
data 552 5.3.4 too big
rcpt 550 your mail is too large for this user
mail 552 5.3.4 Message size exceeds fixed limit
data 552 5.3.4 Error: message file too big
mail 552 Message size exceeds maximum permitted
data 554 Message too big
mail 552-5.2.3 Your message exceeded Google's message size limits.
- 550 5.3.4 ROUTING.SizeLimit; message size exceeds fixed maximum size for route
data 554 Maximum email size exceeded
data 523 the message size exceeds the limit of the recipient
mail 552 #5.3.4 message size exceeds limit
= spam_content
data 554 5.7.1 垃圾邮件被拒绝
data 550 permanent failure for one or more recipients (kim@a.example:blocked)
data 550 rejected: message content looks like spam
data 550 this message does look like spam
data 554 appears to be unsolicited
data 554 5.7.1 identified as spam by anti-virus server
data 550 message considered spam
data 550 spam is not accepted here
data 554 The email content contained spam signature
data 551 Message contains banned words
data 550 no spam please
data 550 5.7.1 Message contains spam or unsafe content
data 554 5.7.1 The message from (<kim@a.example>) with the subject of (hi) matches a profile the Internet community may consider spam. Please revise your message before resending.
data 550 High probability of spam
data 554 rejected due to spam content
data 550 5.7.1 This message has been blocked because it contains spam-like characteristics
data 554 5.7.1 Message identified as SPAM - see header
data 550 Mail content denied. http://a.example/help
data 554 DT:SPM 163 smtp10,DsCowAB,1 please see http://a.example/help
data 550 This message was classified as SPAM and may not be delivered
data 554 Transaction failed: Message content rejected
data 550 5.7.350 Remote server returned message detected as spam
data 550 SpamAssassin score too high: 7.5
data 554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes [PH01]
data 550 5.7.1 [SPAM] rejected
data 550 5.7.1 Your email has been rejected because the content looks like spam
data 554 5.7.1 Spam detected by content scanner
data 550 Message scored too high on spam scale.
data 554 5.7.1 Message blocked due to spam content in the message
data 550 5.7.1 Bulk mail rejected
data 550 5.7.514 Decision Engine classified the mail item was rejected because of potential spam
data 541 5.7.1 Message classified as spam by cloud filter
= virus
data 554 We do not accept .exe attachments
data 550 virus infected message rejected
data 550 dangerous attachment
data 550 5.7.1 This message contains malware (Eicar-Test-Signature)
data 554 5.7.1 Virus detected: Eicar
data 550 Attachment type not allowed: .exe
data 554 5.7.1 rejected due to virus content
data 554 Virus Signature Detected - https://community.mimecast.com
data 550 5.7.1 Your message contains a virus
data 554 5.6.1 infected attachment found
data 552 5.7.0 illegal attachment
data 554 5.7.1 File type not allowed
= reputation
connect 554 cox 192.0.2.1 blocked AUP#CXBL
connect 554 5.7.1 - Connection refused. 192.0.2.1
connect 554 5.7.1 Rejected: 192.0.2.1 listed at dnsbl.a.example
connect 421 HL:REP 163 smtp10
connect 550 blocked by RBL
mail 550 host rejected: blacklisted
rcpt 554 Connection refused due to abuse from your network
connect 550 DNSBL:rbl 192.0.2.1 listed
connect 421 your IP is temporarily blocked
connect 554 client blocked due to low reputation
connect 554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1
rcpt 550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus. To request removal from this list see https://www.spamhaus.org/query/ip/192.0.2.1 (AS3130).
connect 554-mx.a.example 554 Your access to this mail system has been rejected due to the sending MTA's poor reputation. If you believe that this failure is in error, please contact the intended recipient via alternate means.
mail 550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).
mail 550 SC-001 (COL004-MC1F1) Unfortunately, messages from 192.0.2.1 weren't sent.
connect 554 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1
connect 421 4.7.0 [192.0.2.1] Our system has detected an unusual reputation of the sending IP
rcpt 550 5.7.1 Email rejected because 192.0.2.1 is listed by bl.spamcop.net
connect 554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact kim@a.example to clarify.)
connect 554 5.7.1 Client host rejected: listed in RBL
connect 550 Access from ip address 192.0.2.1 blocked. Visit http://a.example/help
rcpt 554 5.7.1 JunkMail rejected - (host) [192.0.2.1] is in an RBL: see http://b.example
connect 554 5.7.1 You are not allowed to connect from dynamic IP
rcpt 550 Rejected: 192.0.2.1 is listed at b.barracudacentral.org
mail 553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list; see https://postmaster.yahooinc.com/error-codes
connect 521 5.2.1 : AOL will not accept delivery of this message. (CON:B1)
rcpt 550 "JunkMail rejected - mail.a.example [192.0.2.1]:1234 is in an RBL on zen.spamhaus.org"
connect 554 Refused. Your IP address is listed in our blacklist.
rcpt 554 Sending address not accepted due to spam filter: IP blocked
rcpt 554 5.7.1 Your IP is blacklisted
connect 550 IP blocked
connect 554 Access denied - your IP has a bad reputation
connect 421 4.7.1 Connection refused, your IP is listed on our blocklist
connect 550 5.7.1 Mail from your server 192.0.2.1 is refused: spam source
mail 554 5.7.1 The server sending your mail [192.0.2.1] does not have a good reputation
rcpt 550 5.7.511 Access denied, banned sender[192.0.2.1]. To request removal from this list please forward this message to kim@a.example
connect 550 5.7.1 Mail from 192.0.2.1 rejected, network is on the blocklist
connect 554 We do not accept mail from dynamic addresses
rcpt 554 5.7.1 <kim@a.example>: Sender address rejected: domain listed in Spamhaus DBL
rcpt 550 5.7.1 your domain is blacklisted
connect 421 Rejected: open proxy
= policy
rcpt 550 cuda_nsu 5.7.1 <kim@a.example>: Recipient address rejected: policy rejection
rcpt 550 Rejected for policy reasons
rcpt 553 denied by local ACL
rcpt 550 message refused by recipient
rcpt 550 rejected by firewall rule
rcpt 550 5.7.1 Administrative prohibition
rcpt 550 Administrative prohibition - envelope blocked - https://community.mimecast.com/docs/DOC-1369#550
rcpt 550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed because the sender was not authenticated when sending to this group
rcpt 550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized
rcpt 550 Rejected by recipient's blocklist
data 554 Email rejected due to security policies - https://community.mimecast.com/docs/DOC-1369#554
rcpt 550 5.7.1 You are not allowed to send to this recipient
data 550 5.7.0 Local Policy Violation
rcpt 550 5.7.1 Sender is not allowed to send to this group
rcpt 550 5.7.1 Message rejected by the recipient's rules
rcpt 550 5.7.129 sender not on the list of allowed senders for this recipient
rcpt 550 5.7.1 this mailbox only accepts mail from internal users
rcpt 550 5.7.1 Delivery not authorized, message refused
data 550 5.7.1 mail rejected by mail policy
rcpt 550 Your message was rejected by the user's preferences
rcpt 554 Transaction failed. Reject due to policy restrictions.
rcpt 553 5.7.1 User does not accept mail from you
rcpt 550 5.7.1 External senders are not permitted to send to this list
rcpt 550 Geo blocked: mail from your country not accepted
= auth_failure
data 554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes
data 550 MI:SPF 163 mx30
mail 550 sender fails SPF verification
data 550 5.7.1 not accepted: failed sender authentication
data 550 domain policy requires DKIM
mail 550 5.7.23 SPF validation failed
rcpt 550 5.7.1 <kim@a.example>: Recipient address rejected: Please see http://www.openspf.org/Why?s=mfrom;id=x
rcpt 550 5.7.1 SPF unauthorized mail is prohibited.
data 554 5.7.5 Permanent Error Evaluating DMARC Policy
mail 550 5.7.1 Message rejected: SPF check failed. 192.0.2.1 is not permitted to send mail from a.example
data 550 Rejected due to Anti-spoofing policy - envelope
data 550 5.7.20 No passing DKIM signature found
data 451 4.7.24 sending domain failed SPF
data 550 Message failed DMARC Compliance
mail 550 SPF: 192.0.2.1 is not authorized to use a.example
rcpt 550 5.7.1 <kim@a.example>: Sender address rejected: SPF fail
rcpt 550 5.7.1 Recipient address rejected: SPF-Result=a.example: 'SPF fail - not authorized'
data 421 4.7.0 This message does not pass authentication checks (SPF and DKIM both do not pass)
data 550 5.7.515 Access denied, sending domain a.example doesn't meet the required authentication level
= sender_config
data 554 DT:SUM 163 smtp10
mail 553 sorry, your envelope sender domain must exist (#5.7.1)
mail 553 Sorry, your mail from address is not valid
connect 550 Missing reverse DNS
connect 554 PTR record does not match
connect 550 cannot resolve your address
mail 550 unresolvable sender domain
rcpt 550 5.7.1 unverified sender address
rcpt 550 reject: sender has no A, AAAA, or MX records
connect 554 5.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]
connect 450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]
ehlo 504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname
ehlo 550 5.7.1 <x>: Helo command rejected: Host not found
rcpt 550 Sender verify failed
rcpt 550-Verification failed for <kim@a.example> 550-The mail server could not deliver mail to kim@a.example. The account or domain may not exist, they may be blacklisted, or missing the proper dns entries. 550 Sender verify failed
connect 554 Bad DNS PTR resource record.
mail 550 5.7.1 Sender denied as sender's email address is on SenderFilterConfig list
mail 553 5.7.1 <kim@a.example>: Sender address rejected: not owned by user x
rcpt 451 4.1.8 Domain of sender address kim@a.example does not resolve
connect 550 inconsistent or no DNS PTR record for 192.0.2.1 (see RFC 1912 2.1)
mail 550 5.1.0 Sender denied
- 550 5.7.60 SMTP; Client does not have permissions to send as this sender
mail 501 5.1.7 Bad sender address syntax
mail 550 5.1.8 Sender domain does not exist
rcpt 550 Cannot verify sender: user unknown
rcpt 550 5.1.7 <kim@a.example>: Sender address rejected: undeliverable address: User unknown
rcpt 450 4.1.7 <kim@a.example>: Sender address rejected: unverified address: mailbox does not exist
mail 550 Invalid sender domain
rcpt 550 The domain of your sender address has no valid MX record
rcpt 550 Return path does not exist
rcpt 554 The sending domain does not exist
mail 553 5.5.4 <x>... Domain name required for sender address x
rcpt 550 rDNS lookup of 192.0.2.1 failed
mail 550 your domain doesn't exist
connect 550 5.7.25 reverse DNS does not match
= rate_limit
connect 421 cmsmtp 192.0.2.1 blocked AUP#CXCNCT
mail 450 MI:DMC 163 smtp10
connect 421 HL:ICC 163 smtp10
rcpt 452 4.3.1 too many messages from your server
rcpt 550 number of messages exceeds maximum per hour
data 421 excessive sending from your account
connect 421 maximum connections from your IP reached
rcpt 450 4.2.1 The user you are trying to contact is receiving mail too quickly.
connect 421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes
connect 421 Too many concurrent SMTP connections; please try again later.
rcpt 452 4.5.3 Too many recipients
data 421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address.
connect 421 4.4.5 Server busy, too many connections from your host
rcpt 452 Too many recipients received this hour
rcpt 550 5.2.122 The recipient has exceeded their limit for the number of messages they can receive per hour.
data 550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients
mail 454 Throttling failure: Maximum sending rate exceeded.
mail 454 Throttling failure: Daily message quota exceeded.
rcpt 432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded
connect 421 RP-001 (BAY004) Unfortunately, some messages from 192.0.2.1 weren't sent. Please try again. We have limits for how many messages can be sent per hour and per day.
rcpt 450 4.7.1 <kim@a.example>: Recipient address rejected: Rate limit exceeded
connect 550 Connection frequency limited. http://a.example
connect 421 mx.a.example Service closing transmission channel - too many connections
connect 421 4.1.0 mx.a.example Throttled - try again later. Please see http://a.example/codes#1
rcpt 451 4.3.0 Multiple destination domains per transaction is unsupported. Maximum recipients per session
mail 550 5.4.5 Daily user sending quota exceeded
rcpt 450 4.7.1 Too many messages, slow down
rcpt 451 4.7.1 Please slow down, you are sending too fast
rcpt 550 5.1.1 <kim@a.example>: mailbox does not exist; hourly quota exceeded
rcpt 421 4.7.0 mail rate exceeded
rcpt 452 4.5.3 Error: too many recipients
mail 421 4.3.0 Exceeded maximum messages per connection
rcpt 450 This user is receiving email too frequently
mail 451 4.7.1 Domain a.example has exceeded the max emails per hour (100/100 (100%)) allowed. Message will be reattempted later
mail 550 Domain a.example has exceeded the max defers and failures per hour (5/5 (100%)) allowed. Message discarded.
rcpt 421 4.2.1 Too many connections from your IP
= greylist
rcpt 450 4.2.0 Please try again later, this is your first attempt
rcpt 450 4.2.0 <kim@a.example>: Recipient address rejected: Greylisted, see http://a.example/help
rcpt 451 4.7.1 Greylisting in action, please come back later
rcpt 451 Temporarily rejected, please try again in 5 minutes
rcpt 450 4.7.1 <kim@a.example>: Recipient address rejected: Please try again in 300 seconds
rcpt 421 4.7.1 : (GL01) Message from (192.0.2.1) temporarily deferred
rcpt 451 Resources temporarily not available - Please try again later [#4.16.5]. Graylisted
rcpt 450 4.7.1 <kim@a.example>: Recipient address rejected: Greylisted for 5 minutes
rcpt 451 4.7.1 Sorry, the service is currently unavailable. Please come back later. Greylisting
rcpt 450 try again in 10 minutes
= relay_denied
rcpt 550 5.7.1 We do not host this domain
rcpt 554 5.7.1 This mail server requires authentication when attempting to send to a non-local address
rcpt 554 RP:FRL 163 mx9
rcpt 550 Sorry, we don't relay
rcpt 554 we do not relay without RFC2554 authentication
rcpt 553 you are not allowed to relay mail
rcpt 550 denied: not a local recipient domain
rcpt 550 5.7.1 Unable to relay
rcpt 550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain
rcpt 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
rcpt 550 relay not permitted
rcpt 554 5.7.1 <kim@a.example>: Relay access denied
rcpt 550 5.7.1 <kim@a.example>... Relaying denied. Proper authentication required.
mail 530 5.7.0 Authentication Required
auth 535 5.7.8 Error: authentication failed: authentication failure
rcpt 550 5.7.64 TenantAttribution; Relay Access Denied
rcpt 550 authentication required for relay
rcpt 550 We do not accept mail for this domain? relaying not allowed
auth 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.
mail 530 5.7.57 Client not authenticated to send mail.
rcpt 551 not local, relaying denied
rcpt 550 5.7.1 Relaying denied
rcpt 554 5.7.1 relaying not permitted
rcpt 550 that domain is not hosted here
rcpt 550 5.7.1 Command rejected: not a relay for this domain
rcpt 550 You must authenticate before sending mail
rcpt 503 5.5.4 Bad sequence: authentication required
rcpt 553 Relaying disallowed as kim@a.example
rcpt 550 SMTP AUTH is required
rcpt 550 5.7.1 we do not relay
= tls_failure
mail 554 5.7.0 this host requires a secure connection
starttls 454 4.7.0 TLS not available due to local problem
rcpt 550 5.7.10 Encryption needed
mail 451 4.7.5 Certificate validation failure
data 550 5.7.30 REQUIRETLS support required
mail 550 5.7.1 TLS required
mail 523 5.7.10 Encryption required
starttls 454 4.3.3 TLS not available after start
= protocol_error
ehlo 500 unrecognized command
data 503 no recipients specified
data 503 5.5.1 Error: need RCPT command
ehlo 500 5.5.1 command not recognized
mail 555 5.5.4 Unsupported option: SMTPUTF8
mail 501 5.5.4 Syntax: MAIL FROM:<address>
data 554 5.5.1 Error: no valid recipients
connect 503 5.5.1 polite people say HELO first
ehlo 502 5.5.2 Error: command not recognized
rcpt 501 5.5.4 Invalid arguments
mail 501 Syntax error in parameters
= content_error
data 554 5.6.0 header syntax
data 550 message does not conform to standards
data 550 5.7.1 Our system has detected that this message is not RFC 5322 compliant: 'From' header is missing.
data 554 Message lines too long for transport? bare LF not allowed
data 550 5.6.0 message malformed
data 554 5.6.1 Body type not supported by Remote Host
data 550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds
data 550 5.1.20 Multiple From addresses are not allowed without Sender address
data 550 Header missing required Date
data 554 5.6.0 Message contains bare CR
data 550 5.7.7 message has malformed headers
= dns_failure
rcpt 451 host lookup did not complete
rcpt 450 Name or service not known
rcpt 450 4.1.2 <kim@a.example>: Recipient address rejected: Domain not found, try again later? temporary DNS failure
rcpt 450 4.4.3 DNS lookup failure
rcpt 451 4.1.2 temporary DNS error, try again later
= connection_failure
- 451 4.4.1 Could not connect to next hop: connection refused
- 450 4.4.316 Connection refused [Message=Socket error code 10061]
- 421 4.4.2 a.example Error: timeout exceeded
- 451 4.4.2 Connection dropped
= remote_system
data 451 qq write error or disk full (#4.3.0)
data 550 5.3.5 local configuration error
rcpt 451 unable to verify user at this time
rcpt 451 could not load recipient database
connect 421 server is overloaded
data 451 timeout writing queue file
data 451 4.3.0 Error: queue file write error
rcpt 451 Temporary local problem - please try later
data 452 4.3.1 Insufficient system storage
data 451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)
rcpt 451 4.3.5 Server configuration problem
rcpt 451 4.3.5 <kim@a.example>: Recipient address rejected: Server configuration error
data 554 5.3.0 Unable to process message: internal error
data 452 4.3.1 Insufficient disk space; try again later
connect 421 mx.a.example Service unavailable
rcpt 451 Local error in processing
connect 421 Server too busy
data 554 5.3.0 mail server internal failure
rcpt 450 4.2.1 mailbox temporarily unavailable
rcpt 451 Requested action aborted: local error in processing
= routing_loop
data 550 this mail is looping
data 554 5.4.6 unexpected loop
data 554 5.4.6 Too many hops
data 554 5.4.0 mail loops back to me (MX problem?)
data 550 Mail loop detected
= expired
- 554 retry time not reached for any host after a long failure period
- 550 4.4.7 QUEUE.Expired; message expired
- 554 5.4.7 Delivery expired (message too old) 'timeout'
- 550 4.4.7 Message delayed
= unknown
rcpt 550 x
rcpt 554 Error
"""


def reply_cases() -> list[tuple[str, str, str]]:
    """Category, stage or nothing, reply."""
    cases, category = [], ""
    for line in REPLIES.splitlines():
        stage, _, text = line.partition(" ")
        if stage == "=":
            category = text
        else:
            cases.append((category, stage.strip("-"), text))
    return cases
