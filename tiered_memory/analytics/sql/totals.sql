SELECT count(*), count(DISTINCT subject), coalesce(sum(bytes), 0)::BIGINT FROM memory;
