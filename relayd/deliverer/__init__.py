"""Delivery: from leased work to a recorded result.

In the order of calls: `scheduler` claims work, under `leases`, and feeds a `destination_queue` for each
destination. That has `nexthop` open sessions, runs each `attempt` in transactions, and gives what they
saw to `recorder`, which judges it and commits the result, with `reports` on bounces. A queue that closes
gets a pause from `pauses`. `destination_queue` has the steps of one attempt.
"""
