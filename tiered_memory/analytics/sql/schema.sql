-- No keys or indexes: the projection is written once and only scanned.
CREATE TABLE projection (schema_version INTEGER NOT NULL, taken_at_us BIGINT NOT NULL);

CREATE TABLE memory (
    subject VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    sensitivity VARCHAR NOT NULL,
    purpose VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    importance DOUBLE NOT NULL,
    strength_last DOUBLE NOT NULL,
    t_last_us BIGINT NOT NULL,
    n_spaced DOUBLE NOT NULL,
    ingested_at_us BIGINT NOT NULL,
    forget_at_us BIGINT,
    deadline_us BIGINT,
    bytes BIGINT NOT NULL,
    pinned BOOLEAN NOT NULL
);

CREATE TABLE routing (target VARCHAR NOT NULL, reason VARCHAR NOT NULL, decisions BIGINT NOT NULL);
