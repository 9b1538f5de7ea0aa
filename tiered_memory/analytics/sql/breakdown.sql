-- Which of the three columns a row counts by is told by the one that is not NULL: none of them can be.
SELECT state, kind, sensitivity, count(*)
FROM memory
GROUP BY GROUPING SETS ((state), (kind), (sensitivity));
