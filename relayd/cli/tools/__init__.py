"""Commands of one module each, for the terminal, the rules, content checks, users and backups."""
