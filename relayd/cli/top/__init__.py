"""`relayd top`: `command` takes the figures, and `screen` draws them; `machines` draws those of all machines."""
