-- Which connection the tokens of an account's sign-ins became last. It stays when the connection has ended: then nothing
-- is kept until the person has connected the account herself.
CREATE TABLE sign_in_tokens (
    identity_id TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    connection TEXT NOT NULL,
    connection_id TEXT NOT NULL,
    PRIMARY KEY (identity_id, connection)
);
