"""SMTP as a client: `client` is what others use.

Its `connect` has `opening` run the steps of `session` (with `dial`, `tls`, `login`); its `deliver` has
`commands` plan a transaction and `transaction` carry it out, both over `protocol`.
"""
