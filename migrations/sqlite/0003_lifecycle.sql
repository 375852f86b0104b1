-- The number of the last change to what is known of keys. Whoever changes something holds this row until the
-- change is done, so that changes become visible in the order of their numbers.
CREATE TABLE revision (
    id    INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
) STRICT;
INSERT INTO revision (id, value) VALUES (1, 0);

-- What PKCS#11 has no place for. That a key exists is for the token to say, not for this table.
CREATE TABLE key_facts (
    name            TEXT    NOT NULL PRIMARY KEY,
    revision        INTEGER NOT NULL,
    primary_version INTEGER CHECK (primary_version >= 1),
    description     TEXT    NOT NULL,
    labels          TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX key_facts_revision ON key_facts (revision);

CREATE TABLE version_facts (
    name        TEXT    NOT NULL REFERENCES key_facts (name) ON DELETE CASCADE,
    version     INTEGER NOT NULL CHECK (version >= 1),
    state       TEXT    NOT NULL CHECK (state IN ('enabled', 'disabled', 'destroy_scheduled', 'destroyed')),
    created_by  TEXT,
    created_at  INTEGER,
    disabled_at INTEGER,
    destroy_at  INTEGER,
    PRIMARY KEY (name, version),
    CHECK (state <> 'destroy_scheduled' OR destroy_at IS NOT NULL)
) STRICT, WITHOUT ROWID;
