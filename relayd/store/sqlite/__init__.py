"""The store on one machine: a SQLite file, through apsw.

The order of calls:

1. `connection` creates the file, or brings its schema up to date, and opens it.
2. `queue.SqliteStore` has the verbs of the workers. `arrivals` syncs the content file of a large message first.
3. `writer` runs all verbs that wait in one transaction, under `lock`; `age` comes first in each.
4. Inside it: `messages` inserts, `claims`, `leases` and `destinations` lease, `outcomes` writes results, `operators` acts,
   `returned` counts asynchronous bounces, `suppression` and `purging` forget. `rows` and `values` translate.
5. `wal` syncs the commit; then the writer's callers are told. When the WAL is long it is checkpointed.

`view.SqliteView` answers everybody's questions on a read-only connection; `search` finds recipients for it.
`checkup` and `backup` look at the file too. All three open it by `outside`; `condition` says what is wrong with it.
`restore` puts a backup in the place of a queue, `compacting` makes one smaller; `replacing` is the one step of both.
"""
