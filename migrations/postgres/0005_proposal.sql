-- Acts that need approval. The database itself refuses an author's approval and a second one.
CREATE TABLE proposal (
    id           TEXT    NOT NULL PRIMARY KEY,
    act          TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    content      BYTEA   NOT NULL,
    author       TEXT    NOT NULL,
    required     BIGINT  NOT NULL CHECK (required >= 1),
    proposed_at  BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL CHECK (expires_at > proposed_at),
    withdrawn_at BIGINT,
    executed_by  TEXT,
    executed_at  BIGINT,
    outcome      TEXT,
    UNIQUE (id, author),
    CHECK ((executed_by IS NULL) = (executed_at IS NULL)),
    CHECK (withdrawn_at IS NULL OR executed_at IS NULL),
    CHECK (outcome IS NULL OR executed_at IS NOT NULL)
);
CREATE INDEX proposal_proposed ON proposal (proposed_at);

CREATE TABLE approval (
    proposal    TEXT    NOT NULL,
    author      TEXT    NOT NULL,
    approver    TEXT    NOT NULL CHECK (approver <> author),
    approved_at BIGINT  NOT NULL,
    PRIMARY KEY (proposal, approver),
    FOREIGN KEY (proposal, author) REFERENCES proposal (id, author) ON DELETE CASCADE
);
