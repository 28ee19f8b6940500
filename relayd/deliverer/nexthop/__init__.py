"""The ways to a next hop: `smarthost` for hosts of the settings, `mx` for a domain's own mail hosts.

Both open a session with the first host that lets us in (`search`), and tell of it in the words of
`hosts`. Nothing here knows which mail a session is for.
"""
