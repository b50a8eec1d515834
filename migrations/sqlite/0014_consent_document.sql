-- What a client's metadata document said of its addresses and keys when it was allowed something.
ALTER TABLE consents ADD COLUMN document BLOB;
