-- The authorization request that a sign-in was made for, so that no other sign-in can stand in for it.
ALTER TABLE sessions ADD COLUMN interaction_id TEXT;
