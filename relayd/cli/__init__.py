"""The `relayd` command. It begins in `command`; `sendmail` is a program of its own, without click."""
