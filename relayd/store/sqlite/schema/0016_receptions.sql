-- The reception of a message is an event of each of its recipients from here on. Of older messages it is still
-- the row of the message itself. The last events are asked for without receptions, of which there may be many.
CREATE INDEX event_latest ON event (id) WHERE kind <> 'received';
