-- What of a bucket is due, earliest first, and when the next one is.
-- KEYS 1 due index   ARGV 1 horizon 2 limit
local now = clock()
local found = redis.call('ZRANGE', KEYS[1], '-inf', now + tonumber(ARGV[1]), 'BYSCORE',
  'LIMIT', 0, tonumber(ARGV[2]), 'WITHSCORES')
local next = redis.call('ZRANGE', KEYS[1], #found / 2, #found / 2, 'WITHSCORES')
return { now, found, next[2] }
