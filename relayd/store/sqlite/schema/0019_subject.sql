-- The subject, where `store.keep_subject` wants it kept. NULL of all older messages: no row is touched.
ALTER TABLE message ADD COLUMN subject TEXT;
