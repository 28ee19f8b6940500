"""What is decided about TLS towards mail hosts: which proof a host owes, and what follows without it."""
