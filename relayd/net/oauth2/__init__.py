"""OAuth2 as a client: access tokens for logins at a smarthost.

`tokens` has the token of now, which all workers share, and asks for another one in time; `grant` asks, by the flow of the
settings; `device` is the flow in which somebody agrees; `signing` signs for a service account. `https` sends a form.
"""
