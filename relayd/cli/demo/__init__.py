"""`relayd demo`: `command` starts the `servers` and `dns`, sends the `samples`, and shows the result."""
