"""OAuth2 for logins at a smarthost: what a token server is asked, and what its answers mean.

`grants` has the providers and the forms that are sent, `answers` reads what comes back, and `refusals` says
what of our settings a token server finds wrong.
"""
