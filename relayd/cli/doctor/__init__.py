"""`relayd doctor`: `command` has the checks made, and `words` prints the findings."""
