"""What is sent when, over which connection, and what came of it.

The order of calls of one delivery:

1. `scheduler` takes work: of a new message, or claimed. `rerouter` moves what goes elsewhere by now.
2. `destination_queue` gives it to a connection, once `results` can record what will come of it.
3. `nexthop` opens the session, or says that there is no host.
4. `attempt` says who has a result, and who goes on to the next host.
5. `recorder` judges by `relayd.policy.verdict`. `settlements` says what is written, `reports` whom to tell.
6. `results` commits it. Then the events are logged, and the connection takes its next work.
"""
