-- ledger::postpone
-- ARGV 1 session 2 due in 3 last read
local now = clock()
local r = load()
if not r then return { 'NONE', now } end
local read = latest(r.last_read, optional(3))
if read ~= r.last_read then
  r.last_read = read
  save(r)
end
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  local due = after(now, optional(2))
  schedule(ARGV[1], due)
  announce('c', ARGV[1], r.ver, due)
end
return { 'DONE', now }
