-- The first node to see a new server, or one that was restarted, begins the time in which everyone puts
-- back what the server may have lost. Tells how long ago that was; a server seen for the first time ever
-- has lost nothing.
-- KEYS 1 server   ARGV 1 the server's run id
local now = clock()
local run, since = unpack(redis.call('HMGET', KEYS[1], 'run', 'since'))
if run ~= ARGV[1] then
  since = run and now or 0
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'since', since)
end
return now - tonumber(since)
