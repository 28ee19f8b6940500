"""What the next hop is given in the place of what a client wrote: the sender, and fields of the header.

`rules` says what a rule may ask for, `apply` carries out the rules that fit one message, by `sender` (the
reverse-path), `author` (From) and `fields` (the header as octets). `srs` makes and reads reverse-paths
of forwarded mail.
"""
