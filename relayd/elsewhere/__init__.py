"""The settings of other mail programs, read and told in relayd's.

`found` describes what any of them says; a module for each program reads it; `telling` makes our settings of it. Nothing is
written here, no other program is changed, and no secret is in a note.
"""
