-- What counts once and was presented, by who issued it and the identifier that it carries; kept as long as it could
-- be presented again.
CREATE TABLE replays (
    kind TEXT NOT NULL,
    issuer TEXT NOT NULL,
    jti TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, issuer, jti)
);
CREATE INDEX replays_expiry ON replays (expires_at);
