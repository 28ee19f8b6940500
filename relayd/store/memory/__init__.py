"""The queue in plain dicts: every rule of the store, nothing of its durability. For tests.

Short code for unit tests to lean on, and for the other stores to be compared with. Every verb runs to
its end without giving way to the loop, so each is a transaction by itself; "durable" means "in the
dict". Leaves disks, threads and other processes to the real stores.

`queue.py` has the verbs of the workers, `view.py` the questions of everybody else; both work on
`tables.py`. The files are named as those of `relayd.store.sqlite`, where each rule is in SQL.
"""
