-- What the policy permitted for an answer, as JSON: it is asked again before the answer is given again.
ALTER TABLE request ADD COLUMN permitted TEXT;
