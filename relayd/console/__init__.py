"""The console: pages that show what the store knows, and webhooks, in a process of its own.

1. `server` listens, and ends with a signal; `limits` bounds what one client may hold up or send.
2. `app` takes each request through `guard` (is it meant for us, and by one of our pages?) and `session`
   (who asks?), finds the page in `routes`, and turns every failure into a page.
3. A page (`pages`) asks the store by `reading` and the daemon by `daemon`, and is written by `render`.
4. `mail_fields` and `compose` make a message of JSON, and `intake` hands it to the daemon by SMTP.
5. `hooks` tells applications what became of their mail.

Nothing here writes to the store: what changes something is asked of the daemon.
"""
