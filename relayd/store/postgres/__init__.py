"""The queue in PostgreSQL, shared by the relays of many machines.

`line` is the only module that knows the library: a line is one connection that a task of ours owns, and
an operation is a coroutine function on its `Session`, run in one transaction. All other modules are
operations, or compose them: `queue` has the workers' verbs, `view` the questions.
"""
