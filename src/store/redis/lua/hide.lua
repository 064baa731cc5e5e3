-- Claims sessions of a bucket: hides each until its new time, unless it was moved since it was looked at.
-- KEYS 1 due index   ARGV: session, due time seen, time hidden until; and so on
local claimed = {}
for i = 1, #ARGV, 3 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('ZADD', KEYS[1], ARGV[i + 2], ARGV[i])
    claimed[#claimed + 1] = ARGV[i]
  end
end
return claimed
