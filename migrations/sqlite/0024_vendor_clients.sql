-- What authorization servers call us that registered us on request, each for one connection. A client is bound to the issuer
-- and to our redirect URI: where either is another one, we register anew.
CREATE TABLE vendor_clients (
    connection TEXT NOT NULL,
    issuer TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    client_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (connection, issuer, redirect_uri)
) STRICT;
