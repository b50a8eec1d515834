-- The providers and connections that instances have in their configuration, or had: each instance notes its own again and
-- again. One that nobody has noted for long enough was removed; `ended_at`: what it stood behind was ended for that.
CREATE TABLE configured (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (kind, name)
);
INSERT INTO configured (kind, name, seen_at, ended_at)
SELECT 'provider', name, seen_at, ended_at FROM configured_providers;
DROP TABLE configured_providers;
