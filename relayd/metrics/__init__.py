"""What can be watched of a running daemon, in numbers.

`families` names them, `board` keeps them where all processes of a daemon can read them, `tally` counts
in one worker, `scrape` puts an answer together from board, queue and doctor, `exposition` writes it in
Prometheus' text format, `server` hands it out. Documentation: `docs/metrics.md`; a test compares.
"""
