"""`relayd console`: who may use the console and its API.

Lists come from the store; changes go through the daemon's control socket, with their row in the audit.
"""
