"""What is decided while a client is connected, in the order of a session.

`rate` and `places` decide whether it may stay, `origin` what it may do from where it is. `login` decides
which login is checked when, with the sources of `login_source`, those of `known_sources` and the order
of `turns`. `admit` accepts or refuses senders, recipients and messages, `aliases` has names of
this machine stand for addresses, `content` judges what a content
checker said, and `advice` says it in words. `refusal_lines` limits what the log says of strangers.
"""
