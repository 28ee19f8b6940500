"""Reading mail that comes back, in a process of its own.

Anybody may write to a VERP address, at length. So nobody's event loop reads it: `reader` hands it to a
child process that can be killed, and `answer` is what the two say to each other. The reading itself is
`relayd.policy.inbound_bounce`'s.
"""
