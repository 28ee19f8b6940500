"""`relayd route`: `command` finds the way of an address, and `words` prints it."""
