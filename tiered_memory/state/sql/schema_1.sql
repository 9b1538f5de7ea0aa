-- State store, schema 1. Stored bytes are a contract: later versions add migrations, never edit this file.
-- Times are microseconds since 1970-01-01 UTC. Subjects, sessions and operations appear as keyed pseudonyms only.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE epoch_keys (
    tenant     BLOB    NOT NULL,
    epoch      INTEGER NOT NULL,
    format     INTEGER NOT NULL,
    wrapped    BLOB    NOT NULL,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (tenant, epoch)
) WITHOUT ROWID;

CREATE TABLE subjects (
    subject     BLOB    PRIMARY KEY,
    tenant      BLOB    NOT NULL,
    generation  INTEGER NOT NULL,
    incarnation BLOB    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('active', 'restricted', 'erasing', 'erased')),
    embedder    TEXT    NOT NULL,
    identity    BLOB,
    created_us  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE data_keys (
    subject    BLOB    NOT NULL,
    purpose    TEXT    NOT NULL,
    key_id     BLOB    NOT NULL,
    epoch      INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    format     INTEGER NOT NULL,
    wrapped    BLOB    NOT NULL,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (subject, purpose)
) WITHOUT ROWID;

CREATE TABLE journal (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    format         INTEGER NOT NULL,
    operation      BLOB    NOT NULL,
    atomic_group   BLOB    NOT NULL,
    group_size     INTEGER NOT NULL,
    subject        BLOB    NOT NULL,
    generation     INTEGER NOT NULL,
    action         INTEGER NOT NULL,
    memory_id      TEXT    NOT NULL,
    record_order   INTEGER NOT NULL,
    record_version INTEGER NOT NULL,
    sealed         BLOB    NOT NULL,
    created_us     INTEGER NOT NULL
);
CREATE INDEX journal_by_subject ON journal (subject, seq);

CREATE TABLE memories (
    subject        BLOB    NOT NULL,
    memory_id      TEXT    NOT NULL,
    generation     INTEGER NOT NULL,
    record_order   INTEGER NOT NULL,
    record_version INTEGER NOT NULL,
    kind           TEXT    NOT NULL,
    sensitivity    TEXT    NOT NULL,
    purpose        TEXT    NOT NULL,
    basis          TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('active', 'forgotten', 'removing')),
    importance     REAL    NOT NULL,
    strength_last  REAL    NOT NULL,
    t_last_us      INTEGER NOT NULL,
    n_spaced       REAL    NOT NULL,
    policy_version TEXT    NOT NULL,
    ingested_us    INTEGER NOT NULL,
    forget_at_us   INTEGER,
    deadline_us    INTEGER,
    deadline_rule  TEXT    NOT NULL,
    pinned         INTEGER NOT NULL DEFAULT 0,
    held           INTEGER NOT NULL DEFAULT 0,
    bytes          INTEGER NOT NULL,
    PRIMARY KEY (subject, memory_id)
) WITHOUT ROWID;
CREATE INDEX memories_due ON memories (deadline_us) WHERE deadline_us IS NOT NULL;

CREATE TABLE session_tail (
    subject      BLOB    NOT NULL,
    session      BLOB    NOT NULL,
    record_order INTEGER NOT NULL,
    format       INTEGER NOT NULL,
    generation   INTEGER NOT NULL,
    record_id    TEXT    NOT NULL,
    purpose      TEXT    NOT NULL,
    pinned       INTEGER NOT NULL,
    sealed       BLOB,
    expires_us   INTEGER NOT NULL,
    PRIMARY KEY (subject, session, record_order)
) WITHOUT ROWID;
CREATE INDEX session_tail_due ON session_tail (expires_us);

CREATE TABLE consent_events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    subject    BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    format     INTEGER NOT NULL,
    event_id   TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    purpose    TEXT    NOT NULL,
    at_us      INTEGER NOT NULL,
    expires_us INTEGER,
    explicit   INTEGER NOT NULL,
    sealed     BLOB    NOT NULL
);
CREATE INDEX consent_by_subject ON consent_events (subject, seq);

CREATE TABLE audit (
    leaf_index INTEGER PRIMARY KEY,
    format     INTEGER NOT NULL,
    leaf       BLOB    NOT NULL,
    hash       BLOB    NOT NULL
);

CREATE TABLE operations (
    subject     BLOB    NOT NULL,
    operation   BLOB    NOT NULL,
    generation  INTEGER NOT NULL,
    fingerprint BLOB    NOT NULL,
    purpose     TEXT    NOT NULL,
    receipt     BLOB    NOT NULL,
    expires_us  INTEGER NOT NULL,
    PRIMARY KEY (subject, operation)
) WITHOUT ROWID;
CREATE INDEX operations_due ON operations (expires_us);

CREATE TABLE tombstones (
    subject   BLOB    NOT NULL,
    memory_id TEXT    NOT NULL,
    at_us     INTEGER NOT NULL,
    PRIMARY KEY (subject, memory_id)
) WITHOUT ROWID;

CREATE TABLE erased (
    subject     BLOB    NOT NULL,
    generation  INTEGER NOT NULL,
    at_us       INTEGER NOT NULL,
    PRIMARY KEY (subject, generation)
) WITHOUT ROWID;

CREATE TABLE routing_counts (
    target TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (target, reason)
) WITHOUT ROWID;
