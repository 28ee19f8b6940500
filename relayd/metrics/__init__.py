"""What can be watched of a running daemon, in numbers.

`families` names them. `shared` keeps them where all processes of a daemon can read them, `counters` counts
in one worker. For an answer, `server` asks `scrape`, which reads the shared counters, the queue and the
doctor's last result; `exposition` writes it in Prometheus' text format.
Documentation: `docs/metrics.md`; a test compares.
"""
