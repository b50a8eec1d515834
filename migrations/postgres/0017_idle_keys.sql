-- Since when nobody seals with a key, and nothing is sealed by it, as far as is known. Empty: it seals, or has sealed.
ALTER TABLE key_proofs ADD COLUMN idle_since BIGINT;
