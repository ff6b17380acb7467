-- revisions is what a pod was. sealed is one cell with all of a revision, key
-- names the data key that it is sealed with, as in pods.
CREATE TABLE revisions (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    pod      INTEGER NOT NULL REFERENCES pods (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    key      BLOB    NOT NULL,
    sealed   BLOB    NOT NULL,
    UNIQUE (pod, revision)
) STRICT;
