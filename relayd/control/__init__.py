"""The control socket: how a command asks the running daemon to change something.

`protocol` holds the messages, `client` asks, `server` answers inside each worker.
"""
