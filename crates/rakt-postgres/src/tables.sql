-- Nodes that start together make them one after the other.
SELECT pg_advisory_xact_lock(x'72616b74'::bigint);

-- Keys and names are UTF-8, as bytes, since they may hold what a text cannot: a NUL, or what the encoding of the
-- database has not. Epochs are 24 bytes that have the order of the epochs. A row is never deleted: it holds the claim.
CREATE TABLE IF NOT EXISTS rakt_grains (
    kind text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    epoch bytea NOT NULL CHECK (octet_length(epoch) = 24),
    writer bytea NOT NULL CHECK (octet_length(writer) = 24),
    version bigint NOT NULL,
    state bytea,
    PRIMARY KEY (kind, key)
);

-- Times are milliseconds since 1970, and milliseconds.
CREATE TABLE IF NOT EXISTS rakt_reminders (
    kind text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    name bytea NOT NULL,
    due bigint NOT NULL,
    every bigint,
    PRIMARY KEY (kind, key, name)
);

CREATE INDEX IF NOT EXISTS rakt_reminders_due ON rakt_reminders (kind, due);
