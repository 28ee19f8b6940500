-- From here to the next four: what is asked by user, client or destination, for doubles, and for what happened since.
CREATE INDEX message_by_user ON message (auth_user COLLATE NOCASE) WHERE auth_user IS NOT NULL;
