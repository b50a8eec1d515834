-- People are looked up by the address that a provider gave them, and linked by it where the operator says so.
CREATE INDEX identities_email ON identities (lower(email));
