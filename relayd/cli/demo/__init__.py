"""`relayd demo`: `command` starts the `servers`, `dns` and each `relay`, sends the `samples`, shows the result."""
