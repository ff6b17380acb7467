-- meta holds values of the store itself. Its value column is sealed.
CREATE TABLE meta (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE,
    value BLOB NOT NULL
) STRICT;

-- pods has one row per pod. manifest, keys, secrets and confirm are sealed; tag
-- authenticates every other column and the child rows. AUTOINCREMENT: a row
-- number is part of what is authenticated, so it is never used again.
CREATE TABLE pods (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    pod             TEXT    NOT NULL UNIQUE,
    publisher       TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    revision        INTEGER NOT NULL,
    state           TEXT    NOT NULL,
    reason          TEXT    NOT NULL,
    request_id      BLOB    NOT NULL,
    manifest_digest BLOB    NOT NULL,
    manifest        BLOB    NOT NULL,
    keys            BLOB    NOT NULL,
    secrets         BLOB    NOT NULL,
    confirm         BLOB    NOT NULL,
    offer_id        TEXT    NOT NULL,
    payment_scheme  TEXT    NOT NULL,
    created_ns      INTEGER NOT NULL,
    updated_ns      INTEGER NOT NULL,
    tag             BLOB    NOT NULL,
    UNIQUE (publisher, name)
) STRICT;

CREATE TABLE endpoints (
    pod       INTEGER NOT NULL REFERENCES pods (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    container TEXT    NOT NULL,
    target    INTEGER NOT NULL,
    port      INTEGER NOT NULL,
    protocol  TEXT    NOT NULL,
    host      TEXT    NOT NULL,
    url       TEXT    NOT NULL,
    dial      TEXT    NOT NULL,
    host_ip   TEXT    NOT NULL,
    PRIMARY KEY (pod, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE obsolete (
    pod      INTEGER NOT NULL REFERENCES pods (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    instance TEXT    NOT NULL,
    PRIMARY KEY (pod, position)
) STRICT, WITHOUT ROWID;
