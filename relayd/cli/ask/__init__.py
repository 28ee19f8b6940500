"""What became of the mail: the commands that read the queue and the log, and those that act on it.

`relayd status` in its plain form is answered by `quick_status`, without click, and `status` has all
of its options. `log` reads the status log with `tail`. `trace` follows the
running daemon.
"""
