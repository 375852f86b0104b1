-- Keys that are marked critical when they are made, for good.
ALTER TABLE key_facts ADD COLUMN critical INTEGER NOT NULL DEFAULT 0;

-- When the log was told that nobody acted on a proposal in time.
ALTER TABLE proposal ADD COLUMN expiry_told_at INTEGER;
CREATE INDEX proposal_subject ON proposal (act, subject);

-- The policy that was in force last: a file that allows more is not taken just because the daemon starts anew.
CREATE TABLE policy_in_force (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    text   TEXT NOT NULL,
    since  INTEGER NOT NULL
) STRICT;
