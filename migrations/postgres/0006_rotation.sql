-- Keys that are rotated by schedule: how often, and when next.
ALTER TABLE key_facts ADD COLUMN rotation_seconds BIGINT;
ALTER TABLE key_facts ADD COLUMN next_rotation_at BIGINT;

-- Which request made a version, if it had an id: so that who asks again after a crash finds what was made.
ALTER TABLE version_facts ADD COLUMN request TEXT;
