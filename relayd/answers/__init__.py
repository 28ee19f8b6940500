"""What is answered alike on a terminal, by the API and on the console.

`recipients` finds recipients, gives their fields, and says in words what each waits for. `overview` sums up
what comes, goes, waits and fails. `warnings` says what to know before direct mode is turned on. `status_line`
gives an event the fields that the status log has. `explain` says of each event why it is so. `when` reads and writes instants.

Nothing here prints, colours or asks the daemon. Who asks passes in the view of the queue and the counters.
"""
