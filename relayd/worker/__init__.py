"""One worker process: it takes mail, stores it, and delivers it.

In the order of a start: the supervisor calls `main.run` with what is in `inherited`. It opens the store,
and `parts` has what both halves use. `outward` puts delivery together, `intake` takes messages over, and
`inward` puts the receiver together. While they work, `answering` serves the control socket and the
metrics, `housekeeping` does what is done every now and then, `wakeups` tells the other workers of new
mail, `following` passes traces on, and `late` stores asynchronous bounces. `supervision` is the line to
the supervisor, `system` the clock and the network, `descriptors` how many of them the parts may open.
"""
