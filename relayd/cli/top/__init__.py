"""`relayd top`: `command` takes the figures, and `screen` draws them."""
