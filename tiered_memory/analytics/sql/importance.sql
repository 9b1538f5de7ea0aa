-- TRY_CAST, because a filter may run after the projection and a number that is not finite must not stop us.
SELECT TRY_CAST(greatest(0, least(9, floor(importance * 10))) AS INTEGER) AS bin, count(*)
FROM memory
WHERE state = 'active' AND isfinite(importance)
GROUP BY bin
ORDER BY bin;
