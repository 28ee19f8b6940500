"""Both logs: the status log, one line per recipient and event, and the operational log.

`status` puts lines together, `writer` appends them to a file from a thread of its own. `operational` sets up
what `structlog.get_logger()` gives. `jsonline` makes one line of JSON of any value, for both.
"""
