-- documents is what the front doors keep: apps, deployments, artifacts, tokens.
-- sealed is one cell; key names the data key that it is sealed with, as in pods.
CREATE TABLE documents (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    key    BLOB NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (kind, name)
) STRICT;
