-- KEYS: ring, records. ARGV: ttl_ms, capacity, then id, value, id, value, ...
-- A value is version, order and expiry (16 hex digits each), a checksum (8), the payload; a ring entry is order, id.
local ring, records = KEYS[1], KEYS[2]
local ttl_ms, capacity = ARGV[1], tonumber(ARGV[2])

-- Under memory pressure the server evicts whole keys, and half of a pair is worth nothing.
if redis.call('EXISTS', ring, records) == 1 then
  redis.call('DEL', ring, records)
end

-- Highest order first. New records nearly always have the highest order, so the walk is rare.
local function insert(entry)
  local head = redis.call('LINDEX', ring, 0)
  if not head or head < entry then
    redis.call('LPUSH', ring, entry)
    return
  end
  for _, lower in ipairs(redis.call('LRANGE', ring, 0, -1)) do
    if lower < entry then
      redis.call('LINSERT', ring, 'BEFORE', lower, entry)
      return
    end
  end
  redis.call('RPUSH', ring, entry)
end

local function store(id, value)
  local held = redis.call('HGET', records, id)
  if held and string.sub(held, 1, 16) > string.sub(value, 1, 16) then
    return
  end
  local entry = string.sub(value, 17, 32) .. id
  local held_entry = held and string.sub(held, 17, 32) .. id
  if entry ~= held_entry then
    insert(entry)
    if held_entry then
      redis.call('LREM', ring, 1, held_entry)
    end
  end
  redis.call('HSET', records, id, value)
end

for i = 3, #ARGV, 2 do
  store(ARGV[i], ARGV[i + 1])
end
while redis.call('LLEN', ring) > capacity do
  redis.call('HDEL', records, string.sub(redis.call('RPOP', ring), 17))
end
redis.call('PEXPIRE', ring, ttl_ms)
redis.call('PEXPIRE', records, ttl_ms)
return redis.status_reply('OK')
