"""The accounts of clients that log in: their file, and their passwords as hashes.

`users_file.read_users` reads the file, `change_users` changes it in one step. `passwords` makes the
hashes that the file holds, and checks them. Who may try how often is the receiver's business.
"""
