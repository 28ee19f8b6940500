"""The `relayd` command. It begins in `command`; `sendmail` is a program of its own, without click."""

DEFAULT_SETTINGS = "/etc/relayd/relayd.toml"  # as `relayd.config` has it, which costs more
