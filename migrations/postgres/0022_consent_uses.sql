-- What a person was told, when she allowed a scope, that it lets the resource use of her accounts elsewhere.
ALTER TABLE consents ADD COLUMN uses JSONB NOT NULL DEFAULT '{}';
