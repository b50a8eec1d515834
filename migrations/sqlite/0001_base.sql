-- What happened and who did it. A row is written in the transaction of what it records and never changed, except
-- that the sealer notes the batch it was chained into. `details` is text on purpose: it must read back byte for byte.
CREATE TABLE audit (
    id        TEXT    NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL,
    event     TEXT    NOT NULL,
    outcome   TEXT    NOT NULL,
    reason    TEXT,
    reference TEXT    NOT NULL,
    user_id   TEXT,
    client_id TEXT,
    provider  TEXT,
    resource  TEXT,
    scope     TEXT,
    grant_id  TEXT,
    ip        TEXT,
    details   TEXT,
    batch     INTEGER
) STRICT;
CREATE INDEX audit_unsealed ON audit (id) WHERE batch IS NULL;
CREATE INDEX audit_batch ON audit (batch) WHERE batch IS NOT NULL;
CREATE INDEX audit_user ON audit (user_id, at);
CREATE INDEX audit_event ON audit (event, at);

-- The chain. `members` holds the id and the hash of each row, `root` is their Merkle root, `previous` the head of the
-- batch before, `sealed` the batch's own head under the encryption key.
CREATE TABLE audit_batches (
    number   INTEGER NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL,
    members  BLOB    NOT NULL,
    root     BLOB    NOT NULL,
    previous BLOB    NOT NULL,
    sealed   BLOB    NOT NULL
) STRICT;

-- One sealed known text for each encryption key that was ever used, to prove at start-up that a key is still
-- the one that its id stands for.
CREATE TABLE key_proofs (
    key_id TEXT    NOT NULL PRIMARY KEY,
    sealed BLOB    NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

-- The keys that sign tokens, sealed.
CREATE TABLE signing_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    algorithm  TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    active_at  INTEGER NOT NULL,
    retired_at INTEGER
) STRICT;
