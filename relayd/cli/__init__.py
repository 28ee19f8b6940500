"""The `relayd` command: a folder for each group of commands, and what they share.

1. `relayd.__main__` asks `ask.quick_status` for a plain `relayd status`, and runs `sendmail.program`
   under the name of `sendmail`. Both work without click.
2. All other command lines go to `command`, which imports the module of the sub-command.
3. The sub-command reads settings and store by `context`, and prints by `output`. It imports no other.
"""

INTERRUPTED = 130  # the exit status that a shell expects of a command that ^C ended
