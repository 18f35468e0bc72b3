-- A journal as version 1 made it: machine tower-01, one record, acknowledged. Never edit: migrations start here.
PRAGMA page_size = 1024;
PRAGMA application_id = 1986946154;
PRAGMA user_version = 1;
CREATE TABLE machine (id TEXT NOT NULL) STRICT;
CREATE TABLE epoch (
    n INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, first_seq INTEGER NOT NULL, genesis BLOB NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE boot (n INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE record (
    seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, boot INTEGER NOT NULL, utc REAL NOT NULL,
    mono REAL NOT NULL, flags INTEGER NOT NULL, floor_utc REAL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    data BLOB NOT NULL, prev_hash BLOB NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE TABLE state (
    n INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (kind, id)
) STRICT;
CREATE TABLE refused (seq INTEGER PRIMARY KEY, problem BLOB NOT NULL) STRICT;
CREATE TABLE cursor (
    one INTEGER PRIMARY KEY CHECK (one = 1), acked INTEGER NOT NULL, trimmed INTEGER NOT NULL,
    trimmed_hash BLOB NOT NULL
) STRICT;
INSERT INTO cursor VALUES (1, 1, 0, x'');
INSERT INTO machine VALUES ('tower-01');
INSERT INTO epoch VALUES (1, '00ff00ff00ff00ff', 1, x'67b533666e7da207a1d518fa684f5b0487b2b0f132f0e2f77695f04cfec486e6', 'created');
INSERT INTO boot VALUES (1, 'boot-1');
INSERT INTO record VALUES (
    1, 1, 1, 1700000000.25, 10.5, 3, 1700000000.25, 'rental.released', 'rental/1', x'7b7d', x'67b533666e7da207a1d518fa684f5b0487b2b0f132f0e2f77695f04cfec486e6',
    x'a5162dc102ebdc38c3c389bf88a8d750a084324541c50705c0ae9af0a08cc492'
);
INSERT INTO state VALUES (1, 'rental', 'r1', x'7b7d');
