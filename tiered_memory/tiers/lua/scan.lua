-- KEYS: ring, records. ARGV: index of the last entry wanted (-1 for all).
-- Returns id, value, id, value, ... highest order first.
local found = {}
for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, ARGV[1])) do
  local id = string.sub(entry, 17)
  local value = redis.call('HGET', KEYS[2], id)
  if value then
    found[#found + 1] = id
    found[#found + 1] = value
  end
end
return found
