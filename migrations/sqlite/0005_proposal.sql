-- Acts that need approval. The database itself refuses an author's approval and a second one.
CREATE TABLE proposal (
    id           TEXT    NOT NULL PRIMARY KEY,
    act          TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    content      BLOB    NOT NULL,
    author       TEXT    NOT NULL,
    required     INTEGER NOT NULL CHECK (required >= 1),
    proposed_at  INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL CHECK (expires_at > proposed_at),
    withdrawn_at INTEGER,
    executed_by  TEXT,
    executed_at  INTEGER,
    outcome      TEXT,
    UNIQUE (id, author),
    CHECK ((executed_by IS NULL) = (executed_at IS NULL)),
    CHECK (withdrawn_at IS NULL OR executed_at IS NULL),
    CHECK (outcome IS NULL OR executed_at IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX proposal_proposed ON proposal (proposed_at);

CREATE TABLE approval (
    proposal    TEXT    NOT NULL,
    author      TEXT    NOT NULL,
    approver    TEXT    NOT NULL CHECK (approver <> author),
    approved_at INTEGER NOT NULL,
    PRIMARY KEY (proposal, approver),
    FOREIGN KEY (proposal, author) REFERENCES proposal (id, author) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
