SELECT target, reason, sum(decisions)::BIGINT FROM routing GROUP BY target, reason ORDER BY target, reason;
