-- tlog_entries is the transparency log, numbered from 0 without gaps. leaf is
-- the first eight bytes of the entry's hash in the tree, to find it by.
CREATE TABLE tlog_entries (
    number INTEGER PRIMARY KEY,
    leaf   INTEGER NOT NULL,
    entry  BLOB    NOT NULL
) STRICT;

CREATE INDEX tlog_leaves ON tlog_entries (leaf);

-- tlog_hashes is its tree, numbered as golang.org/x/mod/sumdb/tlog does.
CREATE TABLE tlog_hashes (
    number INTEGER PRIMARY KEY,
    hash   BLOB    NOT NULL
) STRICT;

-- releases is where the log has the release of a pod's keys. sealed is one cell
-- with the pod's revision in it.
CREATE TABLE releases (
    pod    INTEGER PRIMARY KEY REFERENCES pods (id) ON DELETE CASCADE,
    sealed BLOB NOT NULL
) STRICT;
