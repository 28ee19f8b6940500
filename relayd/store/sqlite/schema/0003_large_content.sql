-- Content that is large has its first octets here, with the header section; the others lie in a file
-- of their own, named for the message, in the directory beside the queue file.
ALTER TABLE content ADD COLUMN beside INTEGER NOT NULL DEFAULT 0; -- octets in that file; 0: there is none
