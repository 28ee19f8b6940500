"""`relayd route`: `command` has `fields` find the way of an address, and `words` prints it."""
