-- What the provider's entry rules read of the claims, so that they can be asked again before every token. Of people who
-- came before this nothing is known: where such a rule is written, they sign in once more.
ALTER TABLE identities ADD COLUMN claims TEXT NOT NULL DEFAULT '{}';
-- Why something was refused is looked up by the number that the person was shown.
CREATE INDEX audit_reference ON audit (reference);
