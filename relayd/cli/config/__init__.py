"""`relayd config`: `command` reads and changes settings; `banner` says which ones are in force."""
