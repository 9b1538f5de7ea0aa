SELECT
    count(*) FILTER (deadline_us <= $now_us::HUGEINT) AS overdue,
    count(*) FILTER (deadline_us <= $now_us::HUGEINT + 1 * 86400000000) AS within_1,
    count(*) FILTER (deadline_us <= $now_us::HUGEINT + 7 * 86400000000) AS within_7,
    count(*) FILTER (deadline_us <= $now_us::HUGEINT + 30 * 86400000000) AS within_30,
    count(*) FILTER (deadline_us <= $now_us::HUGEINT + 90 * 86400000000) AS within_90,
    count(*) FILTER (deadline_us <= $now_us::HUGEINT + 365 * 86400000000) AS within_365,
    count(*) FILTER (deadline_us > $now_us::HUGEINT + 365 * 86400000000) AS later,
    count(*) FILTER (deadline_us IS NULL) AS protected
FROM memory
WHERE state = 'active';
