-- KEYS: ring, records. ARGV: ids. Returns how many were held.
local ring, records = KEYS[1], KEYS[2]
local removed = 0
for _, id in ipairs(ARGV) do
  local held = redis.call('HGET', records, id)
  if held then
    redis.call('LREM', ring, 1, string.sub(held, 17, 32) .. id)
    removed = removed + redis.call('HDEL', records, id)
  end
end
return removed
