-- An assertion that counts again for whoever presented it first says who that was.
ALTER TABLE replays ADD COLUMN holder TEXT;

-- What an enterprise's identity provider allows, it allows anew with every assertion: one grant that is kept up to date.
CREATE UNIQUE INDEX grants_id_jag ON grants (user_id, client_id, resource)
    WHERE origin = 'id_jag' AND revoked_at IS NULL;
