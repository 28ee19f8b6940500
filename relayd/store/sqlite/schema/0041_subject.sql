-- Who a person of the console is to a provider of OpenID Connect (Core 1.0 §5.7).
ALTER TABLE account ADD COLUMN subject TEXT NOT NULL DEFAULT '';  -- issuer and sub, a blank between; empty: not known yet
