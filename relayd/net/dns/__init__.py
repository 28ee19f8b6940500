"""The DNS: `resolver` is what others use. It asks `cache`, then `lookup`.

That asks each `nameserver`, by `datagrams` or TCP. `message`, `records` and `names` have the format.
"""
