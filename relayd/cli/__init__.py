"""The `relayd` command. It begins in `command`; `sendmail` is a program of its own, without click."""

INTERRUPTED = 130  # the exit status that a shell expects of a command that ^C ended
DEFAULT_SETTINGS = "/etc/relayd/relayd.toml"  # as `relayd.config` has it, which costs more
