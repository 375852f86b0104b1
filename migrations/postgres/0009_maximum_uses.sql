-- How often each version of a key may be used to make something.
ALTER TABLE key_facts ADD COLUMN maximum_uses BIGINT CHECK (maximum_uses >= 1);
