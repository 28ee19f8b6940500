"""From the settings file to the values of `relayd.settings`, and back.

In the order of a start: `load` reads the file, and says everything that is wrong at once. `mistakes`
finds what is wrong with one key, by the models and defaults of `model` and the spelling of `units`;
`checks` what is wrong between keys. What was set on the console lies over the file (`overlay`), and over both the
`environment`, whose `variables` go by their names. `certificate`, `users` and `rules` read the files that are named.

The way back: `values` says what counts, by the names of `keys`; `change` sets one key in the file, and
`edit` knows where its line goes. `peek` finds the store and the sockets for programs that have to
start quickly: it is the one part that does not import the models.
"""
