-- KEYS: ring, records, sessions, snapshots: every key a subject can have. Returns how many records were held.
-- Whatever lies there has to go, also what this tier did not write.
local held = redis.pcall('HLEN', KEYS[2])
redis.call('DEL', unpack(KEYS))
return type(held) == 'number' and held or 0
