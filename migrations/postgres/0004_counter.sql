-- Counts that may not be exceeded: what an identity did in a day (with a key, or with any), and how often a
-- version of a key was used.
CREATE TABLE counter (
    identity TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    -- Days since 1970-01-01 UTC; 0 for a count that is for ever.
    day      BIGINT  NOT NULL,
    total    BIGINT  NOT NULL,
    PRIMARY KEY (identity, key, day)
);
CREATE INDEX counter_day ON counter (day);
