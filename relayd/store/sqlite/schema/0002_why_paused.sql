-- Why a destination is left alone, in words for people.
ALTER TABLE destination ADD COLUMN paused_for TEXT NOT NULL DEFAULT '';
