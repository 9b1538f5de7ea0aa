-- KEYS: ring, records. ARGV: index of the last entry wanted (-1 for all).
-- Returns id, value, id, value, ... highest order first; the value is empty where a record should be and is not.
local found = {}
-- Under memory pressure the server evicts whole keys: that is no damage.
if redis.call('EXISTS', KEYS[2]) == 0 then
  return found
end
for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, ARGV[1])) do
  local id = string.sub(entry, 17)
  local value = redis.call('HGET', KEYS[2], id)
  found[#found + 1] = id
  found[#found + 1] = value or ''
end
return found
