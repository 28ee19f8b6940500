-- The address that [redirect] put in the place of the recipient's at the last attempt. NULL of all others: no row is touched.
ALTER TABLE recipient ADD COLUMN redirected_to TEXT;
