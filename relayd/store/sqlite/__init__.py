"""The store on one machine: a SQLite file, through apsw.

`connection.py` opens and checks it, `writer.py` commits in groups, `queue.py` has the verbs of
the workers, `view.py` the questions of everybody else.
"""
