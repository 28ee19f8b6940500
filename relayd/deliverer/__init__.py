"""Delivery: from leased work to a recorded result.

In the order of calls: `scheduler` claims work, under `leases`, and feeds a `destination_queue` for each
destination. `rerouter` sends on what goes elsewhere by now. The queue has `nexthop` open sessions, within
the slots of `connections`, runs each `attempt` in transactions, and gives what they saw to `recorder`.
That judges it, has `settlements` say what is written, with `reports` on bounces, and `results` commits it.
A queue that closes tells the scheduler as `queue_owner` says, and gets a pause from `pauses`.
`attempts` has the steps of one attempt.
"""
