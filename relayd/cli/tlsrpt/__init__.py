"""`relayd tlsrpt`."""
