-- The first node to see a new server, or one that was restarted, begins the time in which everyone puts
-- back what the server may have lost. Tells how long ago that was; a server nobody ever saw has lost nothing,
-- unless the node that comes has seen another in its place.
-- KEYS 1 server   ARGV 1 the server's run id 2 whether the node has seen another ('1')
local now = clock()
local run, since = unpack(redis.call('HMGET', KEYS[1], 'run', 'since'))
if run ~= ARGV[1] then
  since = (run or ARGV[2] == '1') and now or 0
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'since', since)
end
return math.max(0, now - tonumber(since))
