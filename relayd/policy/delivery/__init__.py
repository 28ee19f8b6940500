"""What is decided on the way of a message to the next server, in the order of an attempt.

`route` says where a recipient goes, `plan` which recipients share a transaction. `mx` chooses hosts,
`address_filter` the addresses among theirs, `source` our own address, `tls` how a connection is secured.
`throttle` says how fast. After the attempt `verdict` judges each recipient, `login_refusal` whether the
server refused us instead, `retry` when to try again. If no host can be used, `hosts` says what follows.
`explain` says all of that in words. Before any attempt `admission` says how much work is leased and for
whom, by what `history` remembers; `queue_state` has the states of a destination queue.
"""
