-- KEYS: ring, records, sessions, snapshots: every key a subject can have. Returns how many records were held.
local held = redis.call('HLEN', KEYS[2])
redis.call('DEL', unpack(KEYS))
return held
