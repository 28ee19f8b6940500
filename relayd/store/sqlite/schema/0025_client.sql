CREATE INDEX message_by_client ON message (client_ip);
