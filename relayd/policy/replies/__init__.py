"""What the negative reply of a server means: facts in, a classification out.

`quoted` finds the reply in a text that holds more than one, `phrases` finds words in it, and `ruleset`
the first rule that fits. `classify` puts them together. The rules are TOML files in `rules/`, which
`rulefile` reads; a `rule` is one of them.
"""
