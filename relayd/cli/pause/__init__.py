"""`relayd pause`, `resume`, `pauses` and `drain`: mail that is not taken, or waits, by an operator's word."""
