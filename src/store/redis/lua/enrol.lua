-- A node says that it lives, and learns who else does.
-- KEYS 1 nodes   ARGV 1 node, or '' to look on 2 for how long it counts as alive
local now = clock()
if ARGV[1] ~= '' then redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1]) end
local gone = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)
