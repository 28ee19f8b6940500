"""`sendmail`: a program of its own, without click.

`program` reads the command line with `options` and the message, and gives it to the daemon by
`handover`. `command` is the same as `relayd sendmail`.
"""
