-- Callbacks already seen.
CREATE TABLE replay (
    partner    TEXT    NOT NULL,
    scheme     TEXT    NOT NULL,
    id_hash    BYTEA   NOT NULL CHECK (length(id_hash) = 32),
    first_seen BIGINT  NOT NULL,
    expires    BIGINT  NOT NULL,
    -- How often the id came again after it had expired: 0 means that the row is new.
    renewals   BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (partner, scheme, id_hash)
);
CREATE INDEX replay_expires ON replay (partner, expires);

-- How many rows of `replay` each partner has.
CREATE TABLE replay_partner (
    partner TEXT    NOT NULL PRIMARY KEY,
    entries BIGINT  NOT NULL CHECK (entries >= 0)
);

-- One row, written to learn whether the store can be written.
CREATE TABLE probe (
    id     BIGINT  NOT NULL PRIMARY KEY CHECK (id = 1),
    writes BIGINT  NOT NULL
);
INSERT INTO probe (id, writes) VALUES (1, 0);
