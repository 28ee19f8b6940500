"""What a code, an event, a status, a setting or an error means: read off the pages of the documentation.

The tables of those pages are the one place where each is described. `pages` reads them, `lookup` finds a word in them, and
`pointer` says which word stands for an error.
"""
