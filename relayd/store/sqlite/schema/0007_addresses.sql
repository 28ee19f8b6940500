DROP INDEX recipient_by_address;
CREATE INDEX recipient_by_address ON recipient (address_key, message_id DESC, number, returned);
