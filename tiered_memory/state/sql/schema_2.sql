-- State store, schema 2: what forgetting asks is answered by an index or a running total, never by a scan.
-- Stored bytes are a contract: later versions add migrations, never edit this file.

-- When a memory was forgotten. NULL: it was not, or under schema 1, where its deadline says so.
ALTER TABLE memories ADD COLUMN forgotten_us INTEGER;

-- One subject's memories in the order in which they leave.
CREATE INDEX memories_leaving ON memories (subject, state, deadline_us, record_order);

-- Rows whose deadline was computed under another policy.
CREATE INDEX memories_by_policy ON memories (policy_version) WHERE state <> 'removing';

CREATE INDEX memories_removing ON memories (subject) WHERE state = 'removing';

-- How many memories, of how many bytes, each subject has that are active.
CREATE TABLE subject_totals (
    subject BLOB    PRIMARY KEY,
    items   INTEGER NOT NULL,
    bytes   INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO subject_totals (subject, items, bytes)
SELECT subject, COUNT(*) FILTER (WHERE state = 'active'), COALESCE(SUM(bytes) FILTER (WHERE state = 'active'), 0)
FROM memories GROUP BY subject;

CREATE TRIGGER memories_come AFTER INSERT ON memories
BEGIN
    INSERT INTO subject_totals (subject, items, bytes)
    VALUES (NEW.subject, NEW.state = 'active', (NEW.state = 'active') * NEW.bytes)
    ON CONFLICT (subject) DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER memories_change AFTER UPDATE OF state, bytes ON memories
BEGIN
    UPDATE subject_totals
    SET items = items + (NEW.state = 'active') - (OLD.state = 'active'),
        bytes = bytes + (NEW.state = 'active') * NEW.bytes - (OLD.state = 'active') * OLD.bytes
    WHERE subject = NEW.subject;
END;

CREATE TRIGGER memories_go AFTER DELETE ON memories WHEN OLD.state = 'active'
BEGIN
    UPDATE subject_totals SET items = items - 1, bytes = bytes - OLD.bytes WHERE subject = OLD.subject;
END;
