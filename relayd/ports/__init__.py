"""The seams: what the parts of a worker expect of each other, as Protocols and the values they pass.

`queue` is the store as workers use it, `view` as questions see it, `outward` the world outside; `membership`
and `wakeups` are what workers know of each other. Each is imported by itself: a command that only asks pays for `view` alone.
"""
