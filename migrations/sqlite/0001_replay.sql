-- Callbacks already seen.
CREATE TABLE replay (
    partner    TEXT    NOT NULL,
    scheme     TEXT    NOT NULL,
    id_hash    BLOB    NOT NULL CHECK (length(id_hash) = 32),
    first_seen INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    -- How often the id came again after it had expired: 0 means that the row is new.
    renewals   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (partner, scheme, id_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX replay_expires ON replay (partner, expires);

-- How many rows of `replay` each partner has.
CREATE TABLE replay_partner (
    partner TEXT    NOT NULL PRIMARY KEY,
    entries INTEGER NOT NULL CHECK (entries >= 0)
) STRICT, WITHOUT ROWID;

-- One row, written to learn whether the store can be written.
CREATE TABLE probe (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    writes INTEGER NOT NULL
) STRICT;
INSERT INTO probe (id, writes) VALUES (1, 0);
