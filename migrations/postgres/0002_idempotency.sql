-- Requests that carry an id, and what they were answered. An answer is kept as it was sent: signatures, names of
-- keys; calls whose answers are secret keep none.
CREATE TABLE request (
    -- SHA-256 of who asked, by which method, and the id that they gave.
    id_hash      BYTEA   NOT NULL PRIMARY KEY CHECK (length(id_hash) = 32),
    content_hash BYTEA   NOT NULL CHECK (length(content_hash) = 32),
    -- Who may complete it: a new one for each attempt, so that an attempt that was given up can't answer.
    claim        BYTEA   NOT NULL CHECK (length(claim) = 16),
    attempt      BIGINT  NOT NULL CHECK (attempt >= 1),
    holder       TEXT    NOT NULL,
    started      BIGINT  NOT NULL,
    lease        BIGINT  NOT NULL,
    answer       BYTEA,
    expires      BIGINT  NOT NULL
);
CREATE INDEX request_expires ON request (expires);
