"""SMTP as a server, from a listening socket to a message that `Intake` makes durable.

In the order of a message: `listener` lets a connection in and gives it a `wire`; the wire hands each of
its `lines` to the `machine`, which keeps the order of commands (`states`) and answers through its
`dialogue` (`hello`, `login`, `transfer`); the `reader` collects the content, and `acceptance` makes a
message of it. What takes its time is an effect of the machine, which `work` carries out.
"""
