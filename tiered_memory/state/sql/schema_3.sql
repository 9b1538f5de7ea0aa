-- State store, schema 3: the register of what people's rights and an operator's duties leave behind besides memories.
-- Stored bytes are a contract: later versions add migrations, never edit this file.

-- Requests, decisions, notices, holds, tenants and the like: small sealed records with a status and a due date.
-- `owner` is a subject's or a tenant's pseudonym, or empty for what is the store's own.
CREATE TABLE register (
    owner      BLOB    NOT NULL,
    kind       TEXT    NOT NULL,
    entry_id   TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    format     INTEGER NOT NULL,
    status     TEXT    NOT NULL,
    at_us      INTEGER NOT NULL,
    due_us     INTEGER,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (owner, kind, entry_id)
) WITHOUT ROWID;
CREATE INDEX register_by_kind ON register (kind, status);
CREATE INDEX register_due ON register (kind, due_us) WHERE due_us IS NOT NULL;

-- Consents that end by themselves.
CREATE INDEX consent_expiring ON consent_events (expires_us) WHERE expires_us IS NOT NULL;
