-- Every statement the state store runs, by name.

-- name: meta_get
SELECT value FROM meta WHERE name = ?;

-- name: meta_put
INSERT INTO meta (name, value) VALUES (?, ?);

-- name: meta_replace
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: meta_drop
DELETE FROM meta WHERE name = ?;

-- name: position
SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'journal'), 0),
       COALESCE((SELECT MAX(leaf_index) FROM audit), -1),
       COALESCE((SELECT value FROM meta WHERE name = 'commits'), 0);

-- name: commits_count
INSERT INTO meta (name, value) VALUES ('commits', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1
RETURNING value;

-- name: epochs
SELECT tenant, epoch, wrapped, created_us, format FROM epoch_keys WHERE tenant = ? ORDER BY epoch;

-- name: epoch_put
INSERT INTO epoch_keys (tenant, epoch, wrapped, created_us, format) VALUES (?, ?, ?, ?, ?);

-- name: subject_get
SELECT subject, tenant, generation, incarnation, state, embedder, identity, created_us
FROM subjects WHERE subject = ?;

-- name: subjects_in_state
SELECT subject, tenant, generation, incarnation, state, embedder, identity, created_us
FROM subjects WHERE state = ?;

-- name: subject_generation
SELECT generation, state FROM subjects WHERE subject = ?;

-- name: subject_put
INSERT INTO subjects (subject, tenant, generation, incarnation, state, embedder, identity, created_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (subject) DO UPDATE SET
    incarnation = excluded.incarnation, state = excluded.state, embedder = excluded.embedder,
    identity = excluded.identity, created_us = excluded.created_us
WHERE subjects.state = 'erased' AND subjects.generation = excluded.generation;

-- name: subject_move
UPDATE subjects SET incarnation = ?, embedder = ? WHERE subject = ?;

-- name: keys_of
SELECT subject, purpose, key_id, epoch, generation, wrapped, created_us, format
FROM data_keys WHERE subject = ?;

-- name: key_put
INSERT INTO data_keys (subject, purpose, key_id, epoch, generation, wrapped, created_us, format)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: key_held
SELECT 1 FROM data_keys WHERE subject = ? AND purpose = ? AND key_id = ?;

-- name: keys_destroy
DELETE FROM data_keys WHERE subject = ?;

-- name: key_destroy
DELETE FROM data_keys WHERE subject = ? AND purpose = ?;

-- name: journal_put
INSERT INTO journal (format, operation, atomic_group, group_size, subject, generation, action, memory_id,
                     record_order, record_version, sealed, created_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: journal_all
SELECT seq, format, operation, atomic_group, group_size, subject, generation, action, memory_id,
       record_order, record_version, sealed, created_us
FROM journal ORDER BY seq;

-- name: journal_size
SELECT COUNT(*), COALESCE(SUM(LENGTH(sealed)), 0), MIN(created_us) FROM journal;

-- name: journal_trim
DELETE FROM journal WHERE seq = ?;

-- name: journal_drop_memory
DELETE FROM journal WHERE subject = ?1 AND memory_id = ?2
  AND NOT EXISTS (SELECT 1 FROM memories WHERE subject = ?1 AND memory_id = ?2 AND held = 1);

-- name: memory_put
INSERT INTO memories (subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose,
                      basis, state, importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us,
                      forget_at_us, deadline_us, deadline_rule, pinned, held, bytes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: memories_of
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories WHERE subject = ?;

-- name: memory_of
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories WHERE subject = ? AND memory_id = ?;

-- name: memories_page
SELECT memory_id, record_order FROM memories WHERE subject = ? AND state = 'active' AND record_order < ?
ORDER BY record_order DESC LIMIT ?;

-- name: memories_resident
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories
WHERE subject = ? AND state = 'active' AND (sensitivity IN ('confidential', 'restricted') OR kind = 'profile');

-- name: importances_of
SELECT importance FROM memories WHERE subject = ?;

-- name: memories_due
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories WHERE deadline_us <= ? AND state <> 'removing'
  AND EXISTS (SELECT 1 FROM subjects AS s WHERE s.subject = memories.subject AND s.state = 'active')
ORDER BY deadline_us LIMIT ?;

-- name: memories_due_of
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories INDEXED BY memories_leaving
WHERE subject = ? AND state IN ('active', 'forgotten') AND deadline_us <= ?
  AND EXISTS (SELECT 1 FROM subjects AS s WHERE s.subject = memories.subject AND s.state = 'active')
ORDER BY deadline_us LIMIT ?;

-- name: memories_leaving
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories
WHERE subject = ? AND state = 'active' AND deadline_us IS NOT NULL AND pinned = 0 AND held = 0
ORDER BY deadline_us, record_order LIMIT ?;

-- name: memories_staying
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories
WHERE subject = ? AND state = 'active' AND deadline_us IS NULL AND pinned = 0 AND held = 0
ORDER BY record_order LIMIT ?;

-- name: memories_of_lower_policies
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories WHERE policy_version < ? AND state <> 'removing'
  AND EXISTS (SELECT 1 FROM subjects AS s WHERE s.subject = memories.subject AND s.state IN ('active', 'restricted'))
LIMIT ?;

-- name: memories_of_higher_policies
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories WHERE policy_version > ? AND state <> 'removing'
  AND EXISTS (SELECT 1 FROM subjects AS s WHERE s.subject = memories.subject AND s.state IN ('active', 'restricted'))
LIMIT ?;

-- name: count_of_other_policies
SELECT (SELECT COUNT(*) FROM memories WHERE policy_version < ?1 AND state <> 'removing')
     + (SELECT COUNT(*) FROM memories WHERE policy_version > ?1 AND state <> 'removing');

-- name: memories_after
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories WHERE (subject, memory_id) > (?, ?) ORDER BY subject, memory_id LIMIT ?;

-- name: memories_removing
SELECT subject, memory_id, COALESCE(deadline_us, ingested_us) FROM memories
WHERE state = 'removing' AND held = 0;

-- name: totals_of
SELECT items, bytes FROM subject_totals WHERE subject = ?;

-- name: memory_evictable
SELECT bytes FROM memories WHERE subject = ? AND memory_id = ? AND state = 'active' AND pinned = 0 AND held = 0;

-- name: memory_bytes
SELECT bytes FROM memories WHERE subject = ? AND memory_id = ?;

-- name: memory_restorable
SELECT bytes FROM memories WHERE subject = ? AND memory_id = ? AND state = 'forgotten';

-- name: memory_reindex
UPDATE memories SET policy_version = ?, forget_at_us = ?, deadline_us = ?, deadline_rule = ?
WHERE subject = ? AND memory_id = ? AND generation = ? AND state = ? AND policy_version = ? AND t_last_us = ?
  AND deadline_us IS ? AND pinned = ? AND held = ?;

-- name: memory_strength
UPDATE memories
SET strength_last = ?, t_last_us = ?, n_spaced = ?, policy_version = ?, forget_at_us = ?, deadline_us = ?,
    deadline_rule = ?
WHERE subject = ? AND memory_id = ? AND state = 'active';

-- name: memory_revisable
SELECT 1 FROM memories
WHERE subject = ? AND memory_id = ? AND generation = ? AND purpose = ? AND record_version = ? AND state = 'active';

-- name: memory_revise
UPDATE memories SET record_version = ?, bytes = ? WHERE subject = ? AND memory_id = ?;

-- name: memory_state
UPDATE memories SET state = ?, deadline_us = ?, deadline_rule = ?, forgotten_us = ?
WHERE subject = ? AND memory_id = ? AND state <> 'removing';

-- name: memory_size
UPDATE memories SET bytes = ? WHERE subject = ? AND memory_id = ?;

-- name: memory_restore
UPDATE memories
SET state = 'active', strength_last = ?, t_last_us = ?, n_spaced = ?, policy_version = ?, forget_at_us = ?,
    deadline_us = ?, deadline_rule = ?, forgotten_us = NULL
WHERE subject = ? AND memory_id = ? AND state = 'forgotten';

-- name: memory_pin
UPDATE memories SET pinned = ?, deadline_us = ?, deadline_rule = ? WHERE subject = ? AND memory_id = ?;

-- name: memory_drop
DELETE FROM memories WHERE subject = ? AND memory_id = ?;

-- name: tombstone_put
INSERT OR IGNORE INTO tombstones (subject, memory_id, at_us) VALUES (?, ?, ?);

-- name: tail_put
INSERT INTO session_tail (subject, session, record_order, format, generation, record_id, purpose, pinned, sealed,
                          expires_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: tail_extend
UPDATE session_tail SET expires_us = MAX(expires_us, ?) WHERE subject = ? AND session = ?;

-- name: tail_trim
DELETE FROM session_tail
WHERE subject = ?1 AND session = ?2 AND pinned = 0 AND record_order <= (
    SELECT record_order FROM session_tail WHERE subject = ?1 AND session = ?2 AND pinned = 0
    ORDER BY record_order DESC LIMIT 1 OFFSET ?3);

-- name: tail_of
SELECT subject, session, record_order, format, generation, record_id, purpose, pinned, sealed, expires_us
FROM session_tail WHERE subject = ? AND session = ? ORDER BY record_order;

-- name: tails_sealed
SELECT subject, session, record_order, format, generation, record_id, purpose, pinned, sealed, expires_us
FROM session_tail WHERE subject = ? AND sealed IS NOT NULL;

-- name: tail_reseal
UPDATE session_tail SET sealed = ? WHERE subject = ? AND session = ? AND record_order = ?;

-- name: tail_has
SELECT EXISTS (SELECT 1 FROM session_tail WHERE subject = ? AND record_id = ? AND sealed IS NOT NULL);

-- name: tail_drop_session
DELETE FROM session_tail WHERE subject = ? AND session = ?;

-- name: tail_drop_record
DELETE FROM session_tail WHERE subject = ? AND record_id = ?;

-- name: tail_drop_purpose
DELETE FROM session_tail WHERE subject = ? AND purpose = ?;

-- name: journal_drop_purpose
DELETE FROM journal WHERE subject = ?1 AND memory_id IN (
    SELECT memory_id FROM memories WHERE subject = ?1 AND purpose = ?2);

-- name: memories_remove_purpose
UPDATE memories SET state = 'removing', deadline_us = ?, deadline_rule = 'withdrawn'
WHERE subject = ? AND purpose = ?;

-- name: operations_drop_purpose
DELETE FROM operations WHERE subject = ? AND purpose = ?;

-- name: tail_expire
DELETE FROM session_tail WHERE expires_us <= ?
  AND NOT EXISTS (SELECT 1 FROM subjects AS s WHERE s.subject = session_tail.subject AND s.state = 'restricted');

-- name: has_expired
SELECT EXISTS (SELECT 1 FROM session_tail AS t WHERE t.expires_us <= ?1 AND NOT EXISTS (
               SELECT 1 FROM subjects AS s WHERE s.subject = t.subject AND s.state = 'restricted'))
    OR EXISTS (SELECT 1 FROM operations WHERE expires_us <= ?1);

-- name: last_order
SELECT MAX(COALESCE((SELECT MAX(record_order) FROM memories WHERE subject = ?1), 0),
           COALESCE((SELECT MAX(record_order) FROM session_tail WHERE subject = ?1), 0));

-- name: consent_put
INSERT INTO consent_events (subject, generation, format, event_id, action, purpose, at_us, expires_us, explicit,
                            sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: consent_of
SELECT subject, generation, format, event_id, action, purpose, at_us, expires_us, explicit, sealed
FROM consent_events WHERE subject = ? ORDER BY seq;

-- name: audit_last
SELECT COALESCE(MAX(leaf_index), -1) FROM audit;

-- name: audit_put
INSERT INTO audit (leaf_index, format, leaf, hash) VALUES (?, ?, ?, ?);

-- name: audit_from
SELECT leaf_index, leaf, hash FROM audit WHERE leaf_index >= ? ORDER BY leaf_index LIMIT ?;

-- name: operation_get
SELECT subject, operation, generation, fingerprint, purpose, receipt, expires_us FROM operations
WHERE subject = ? AND operation = ?;

-- name: operation_put
INSERT INTO operations (subject, operation, generation, fingerprint, purpose, receipt, expires_us)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: operations_expire
DELETE FROM operations WHERE expires_us <= ?;

-- name: routing_add
INSERT INTO routing_counts (target, reason, count) VALUES (?, ?, ?)
ON CONFLICT (target, reason) DO UPDATE SET count = count + excluded.count;

-- name: routing_all
SELECT target, reason, count FROM routing_counts ORDER BY target, reason;

-- name: removed_all
SELECT subject, generation, at_us, '' FROM erased
UNION ALL
SELECT tombstones.subject, COALESCE(subjects.generation, 0), tombstones.at_us, tombstones.memory_id
FROM tombstones LEFT JOIN subjects USING (subject);

-- name: erasure_begin
UPDATE subjects SET generation = MAX(generation + 1, ?), state = 'erasing', identity = NULL
WHERE subject = ? AND generation = ? AND state IN ('active', 'restricted');

-- name: erasure_finish
UPDATE subjects SET state = 'erased', incarnation = x'', identity = NULL
WHERE subject = ? AND generation = ? AND state = 'erasing';

-- name: erased_put
INSERT OR IGNORE INTO erased (subject, generation, at_us) VALUES (?, ?, ?);

-- name: drop_journal
DELETE FROM journal WHERE subject = ?;

-- name: drop_memories
DELETE FROM memories WHERE subject = ?;

-- name: drop_totals
DELETE FROM subject_totals WHERE subject = ?;

-- name: drop_tail
DELETE FROM session_tail WHERE subject = ?;

-- name: drop_consents
DELETE FROM consent_events WHERE subject = ?;

-- name: drop_operations
DELETE FROM operations WHERE subject = ?;

-- name: drop_tombstones
DELETE FROM tombstones WHERE subject = ?;

-- name: drop_register
DELETE FROM register WHERE owner = ?;

-- name: count_held
SELECT (SELECT COUNT(*) FROM journal WHERE subject = ?1), (SELECT COUNT(*) FROM memories WHERE subject = ?1),
       (SELECT COUNT(*) FROM session_tail WHERE subject = ?1), (SELECT COUNT(*) FROM data_keys WHERE subject = ?1),
       (SELECT COUNT(*) FROM consent_events WHERE subject = ?1), (SELECT COUNT(*) FROM operations WHERE subject = ?1),
       (SELECT COUNT(*) FROM register WHERE owner = ?1);

-- name: analytics_memories
SELECT lower(hex(subject)), kind, sensitivity, purpose, state, importance, strength_last, t_last_us, n_spaced,
       ingested_us, forget_at_us, deadline_us, bytes, pinned
FROM memories WHERE state <> 'removing';

-- name: register_put
INSERT OR REPLACE INTO register (owner, kind, entry_id, version, generation, format, status, at_us, due_us, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: register_version
SELECT version FROM register WHERE owner = ? AND kind = ? AND entry_id = ?;

-- name: register_drop
DELETE FROM register WHERE owner = ? AND kind = ? AND entry_id = ?;

-- name: register_of
SELECT * FROM register WHERE owner = ? AND kind = ? ORDER BY at_us, entry_id;

-- name: register_of_kind
SELECT * FROM register WHERE kind = ? AND status = ? ORDER BY at_us, owner, entry_id;

-- name: register_due
SELECT * FROM register WHERE kind = ? AND due_us <= ? ORDER BY due_us, owner, entry_id LIMIT ?;

-- name: memory_correct
UPDATE memories SET sensitivity = ?, importance = ? WHERE subject = ? AND memory_id = ?;

-- name: memory_on_hold
SELECT 1 FROM memories WHERE subject = ? AND memory_id = ? AND held = 1;

-- name: journal_drop_older
DELETE FROM journal WHERE subject = ? AND memory_id = ? AND record_version < ?;

-- name: tail_reword
UPDATE session_tail SET sealed = ? WHERE subject = ? AND record_id = ? AND sealed IS NOT NULL;

-- name: subject_state
UPDATE subjects SET state = ? WHERE subject = ? AND generation = ? AND state = ?;
-- name: epochs_of_all
SELECT tenant, epoch, wrapped, created_us, format FROM epoch_keys ORDER BY tenant, epoch;

-- name: epoch_held
SELECT 1 FROM epoch_keys WHERE tenant = ? AND epoch = ?;

-- name: epoch_rewrap
UPDATE epoch_keys SET wrapped = ?, format = ? WHERE tenant = ? AND epoch = ?;

-- name: epoch_drop
DELETE FROM epoch_keys WHERE tenant = ? AND epoch = ?;

-- name: key_discard
DELETE FROM data_keys WHERE subject = ? AND purpose = ? AND key_id = ? AND epoch = ?;

-- name: epoch_use
SELECT COUNT(DISTINCT k.subject), COUNT(*) FROM data_keys AS k JOIN subjects AS s ON s.subject = k.subject
WHERE s.tenant = ? AND k.epoch = ?;

-- name: epoch_of_key
SELECT COUNT(*), COALESCE(SUM(e.epoch = ?2), 0)
FROM epoch_keys AS e WHERE e.tenant = (SELECT tenant FROM subjects WHERE subject = ?1);

-- name: keys_under
SELECT k.subject, k.purpose, k.key_id, k.epoch, k.generation, k.wrapped, k.created_us, k.format
FROM data_keys AS k JOIN subjects AS s ON s.subject = k.subject
WHERE s.tenant = ?1 AND k.epoch = ?2 AND (k.subject, k.purpose) > (?3, ?4)
ORDER BY k.subject, k.purpose LIMIT ?5;

-- name: key_rewrap
UPDATE data_keys SET epoch = ?, wrapped = ?, format = ?
WHERE subject = ? AND purpose = ? AND key_id = ? AND epoch = ?;

-- name: consent_latest
SELECT event_id FROM consent_events WHERE subject = ? AND purpose = ? ORDER BY seq DESC LIMIT 1;

-- name: consents_lapsed
SELECT subject, purpose, event_id, expires_us FROM consent_events AS e
WHERE expires_us <= ?1 AND action IN ('given', 'renewed') AND (?2 IS NULL OR subject = ?2)
  AND seq = (SELECT MAX(seq) FROM consent_events WHERE subject = e.subject AND purpose = e.purpose)
ORDER BY expires_us LIMIT ?3;

-- name: consents_ended
SELECT e.subject, s.generation, e.purpose,
       (SELECT MAX(at_us) FROM consent_events
        WHERE subject = e.subject AND purpose = e.purpose AND action IN ('given', 'renewed')) AS opened_us
FROM consent_events AS e JOIN subjects AS s USING (subject)
WHERE action NOT IN ('given', 'renewed') AND opened_us IS NOT NULL
  AND e.seq = (SELECT MAX(seq) FROM consent_events WHERE subject = e.subject AND purpose = e.purpose);

-- name: memories_end_purpose
UPDATE memories SET state = 'removing', deadline_us = ?, deadline_rule = ?
WHERE subject = ? AND purpose = ?;

-- name: memories_for
SELECT memory_id FROM memories WHERE subject = ? AND purpose = ? AND state <> 'removing';

-- name: audit_index
SELECT leaf_index FROM audit WHERE hash = ? ORDER BY leaf_index DESC LIMIT 1;

-- name: memories_from
SELECT subject, memory_id, generation, record_order, record_version, kind, sensitivity, purpose, basis, state,
       importance, strength_last, t_last_us, n_spaced, policy_version, ingested_us, forget_at_us, deadline_us,
       deadline_rule, pinned, held, bytes, forgotten_us
FROM memories WHERE subject = ? AND record_order > ? AND record_order <= ? ORDER BY record_order LIMIT ?;

-- name: tombstone_of
SELECT 1 FROM tombstones WHERE subject = ? AND memory_id = ?;

-- name: register_of_owner
SELECT * FROM register WHERE owner = ? ORDER BY kind, at_us, entry_id;

-- name: hold_mark_memory
UPDATE memories
SET held = 1, deadline_us = NULL, deadline_rule = 'hold',
    forgotten_us = CASE WHEN state = 'forgotten' THEN COALESCE(forgotten_us, deadline_us) END
WHERE held = 0 AND state <> 'removing' AND (?2 = '' OR purpose = ?2) AND subject = ?1 AND memory_id = ?3;

-- name: hold_mark_subject
UPDATE memories
SET held = 1, deadline_us = NULL, deadline_rule = 'hold',
    forgotten_us = CASE WHEN state = 'forgotten' THEN COALESCE(forgotten_us, deadline_us) END
WHERE held = 0 AND state <> 'removing' AND (?2 = '' OR purpose = ?2) AND subject = ?1;

-- name: hold_mark_tenant
UPDATE memories
SET held = 1, deadline_us = NULL, deadline_rule = 'hold',
    forgotten_us = CASE WHEN state = 'forgotten' THEN COALESCE(forgotten_us, deadline_us) END
WHERE held = 0 AND state <> 'removing' AND (?2 = '' OR purpose = ?2)
  AND (?1 = x'' OR subject IN (SELECT subject FROM subjects WHERE tenant = ?1));

-- name: hold_lift_memory
UPDATE memories SET held = 0, policy_version = ''
WHERE held = 1 AND (?2 = '' OR purpose = ?2) AND subject = ?1 AND memory_id = ?3;

-- name: hold_lift_subject
UPDATE memories SET held = 0, policy_version = ''
WHERE held = 1 AND (?2 = '' OR purpose = ?2) AND subject = ?1;

-- name: hold_lift_tenant
UPDATE memories SET held = 0, policy_version = ''
WHERE held = 1 AND (?2 = '' OR purpose = ?2)
  AND (?1 = x'' OR subject IN (SELECT subject FROM subjects WHERE tenant = ?1));

-- name: hold_versions
SELECT memory_id, record_version FROM memories WHERE subject = ?;

-- name: memory_unhold
UPDATE memories SET held = 0 WHERE subject = ? AND memory_id = ?;

-- name: memories_unsettle
UPDATE memories SET policy_version = '' WHERE subject = ? AND state <> 'removing';

-- name: memories_unsettle_tenant
UPDATE memories SET policy_version = ''
WHERE state <> 'removing' AND subject IN (SELECT subject FROM subjects WHERE tenant = ?);

-- name: hold_ends_purpose
UPDATE memories SET held = 0 WHERE subject = ? AND purpose = ? AND state = 'removing';
-- name: tenant_bytes
SELECT COALESCE(SUM(t.bytes), 0) FROM subjects AS s JOIN subject_totals AS t ON t.subject = s.subject WHERE s.tenant = ?;

-- name: tenant_totals
SELECT COUNT(*), COALESCE(SUM(t.items), 0), COALESCE(SUM(t.bytes), 0)
FROM subjects AS s LEFT JOIN subject_totals AS t ON t.subject = s.subject
WHERE s.tenant = ? AND s.state IN ('active', 'restricted');

-- name: tenant_activity
SELECT COUNT(*) FILTER (WHERE m.state = 'forgotten'), COUNT(*) FILTER (WHERE m.ingested_us >= ? AND m.state <> 'removing'),
       MAX(m.ingested_us), MAX(m.t_last_us)
FROM subjects AS s JOIN memories AS m ON m.subject = s.subject
WHERE s.tenant = ? AND s.state IN ('active', 'restricted');

-- name: tenant_sessions
SELECT COUNT(*) FROM (SELECT DISTINCT t.subject, t.session FROM subjects AS s
                      JOIN session_tail AS t ON t.subject = s.subject WHERE s.tenant = ?);

-- name: tenant_subjects
SELECT subject, tenant, generation, incarnation, state, embedder, identity, created_us
FROM subjects WHERE tenant = ? AND state = ?;

-- name: tenant_erased
SELECT DISTINCT e.subject FROM erased AS e JOIN subjects AS s ON s.subject = e.subject
WHERE s.tenant = ? AND e.at_us >= ? ORDER BY e.subject;

-- name: tenant_stale
UPDATE memories SET policy_version = ''
WHERE state <> 'removing' AND subject IN (SELECT subject FROM subjects WHERE tenant = ?);

-- name: tenant_keys_destroy
DELETE FROM data_keys WHERE subject IN (SELECT subject FROM subjects WHERE tenant = ?);

-- name: tenant_epochs_destroy
DELETE FROM epoch_keys WHERE tenant = ?;

-- name: tenant_fence
UPDATE subjects SET state = 'erasing', generation = generation + 1, identity = NULL
WHERE tenant = ? AND state IN ('active', 'restricted');

-- name: tenant_keys
SELECT (SELECT COUNT(*) FROM subjects AS s JOIN data_keys AS k ON k.subject = s.subject WHERE s.tenant = ?)
     + (SELECT COUNT(*) FROM epoch_keys WHERE tenant = ?);

-- name: tenant_held
SELECT COUNT(*) FROM subjects AS s JOIN memories AS m ON m.subject = s.subject WHERE s.tenant = ? AND m.held = 1;

-- name: held_by_purpose
SELECT purpose, COUNT(DISTINCT subject), COUNT(*) FROM memories WHERE state <> 'removing' GROUP BY purpose ORDER BY purpose;

-- name: standing_totals
SELECT COALESCE(SUM(items), 0), COALESCE(SUM(bytes), 0), MAX(subject)
FROM (SELECT subject, items, bytes FROM subject_totals WHERE subject > ? ORDER BY subject LIMIT ?);

-- name: standing_consents
SELECT action, lapsed, COUNT(*), MAX(subject)
FROM (SELECT subject, action, COALESCE(expires_us <= ?3, 0) AS lapsed, MAX(seq) FROM consent_events
      WHERE subject > ?1 AND subject <= (SELECT MAX(subject) FROM (
          SELECT DISTINCT subject FROM consent_events WHERE subject > ?1 ORDER BY subject LIMIT ?2))
      GROUP BY subject, purpose)
GROUP BY action, lapsed;

-- name: standing_overdue
SELECT COUNT(*) FROM (
    SELECT 1 FROM memories WHERE deadline_us <= ? AND state <> 'removing'
      AND EXISTS (SELECT 1 FROM subjects AS s WHERE s.subject = memories.subject AND s.state = 'active')
    LIMIT ?);

-- name: standing_due
SELECT COUNT(*), COALESCE(SUM(due_us <= ?2), 0), MIN(due_us) FROM register WHERE kind = ?1 AND due_us IS NOT NULL;

-- name: standing_epoch
SELECT MIN(created_us) FROM epoch_keys;
