-- From here to 0010: each filter of a question has an index in the order that is shown, so that no
-- question reads the whole history. One in each file, for each takes seconds for a million messages,
-- and a start that is ended in the middle goes on behind the last.
CREATE INDEX message_by_sender ON message (reverse_path COLLATE NOCASE);
