-- policy_version is that of the publisher's policy, 0 where none came along. The
-- tag covers it unless it is 0, so that the tags of earlier rows stay good.
ALTER TABLE pods ADD COLUMN policy_version INTEGER NOT NULL DEFAULT 0;
