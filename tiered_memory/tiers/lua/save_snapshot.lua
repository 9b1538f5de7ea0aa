-- KEYS: sessions, snapshots. ARGV: session, value, expires_us, now_us, ttl_ms, most sessions kept.
-- A value is its expiry (16 hex digits), a checksum (8), then the blob. `sessions` orders the names by expiry.
local sessions, snapshots = KEYS[1], KEYS[2]

if redis.call('EXISTS', sessions, snapshots) == 1 then
  redis.call('DEL', sessions, snapshots)
end

redis.call('ZADD', sessions, ARGV[3], ARGV[1])
redis.call('HSET', snapshots, ARGV[1], ARGV[2])
for _, session in ipairs(redis.call('ZRANGEBYSCORE', sessions, '-inf', ARGV[4])) do
  redis.call('ZREM', sessions, session)
  redis.call('HDEL', snapshots, session)
end
while redis.call('ZCARD', sessions) > tonumber(ARGV[6]) do
  redis.call('HDEL', snapshots, redis.call('ZPOPMIN', sessions)[1])
end
local ttl_ms = math.max(tonumber(ARGV[5]), redis.call('PTTL', sessions))
redis.call('PEXPIRE', sessions, ttl_ms)
redis.call('PEXPIRE', snapshots, ttl_ms)
return redis.status_reply('OK')
