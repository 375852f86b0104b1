-- Requests that carry an id, and what they were answered. An answer is kept as it was sent: signatures, names of
-- keys; calls whose answers are secret keep none.
CREATE TABLE request (
    -- SHA-256 of who asked, by which method, and the id that they gave.
    id_hash      BLOB    NOT NULL PRIMARY KEY CHECK (length(id_hash) = 32),
    content_hash BLOB    NOT NULL CHECK (length(content_hash) = 32),
    -- Who may complete it: a new one for each attempt, so that an attempt that was given up can't answer.
    claim        BLOB    NOT NULL CHECK (length(claim) = 16),
    attempt      INTEGER NOT NULL CHECK (attempt >= 1),
    holder       TEXT    NOT NULL,
    started      INTEGER NOT NULL,
    lease        INTEGER NOT NULL,
    answer       BLOB,
    expires      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX request_expires ON request (expires);
