-- The name of the smarthost that a test mail asks for (X-Relayd-Test: smarthost:NAME). NULL of all others: no row is touched.
ALTER TABLE message ADD COLUMN test_via TEXT;
