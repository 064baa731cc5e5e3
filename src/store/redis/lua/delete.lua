-- ledger::delete
-- ARGV 1 session 2 how long the tombstone is kept
local now = clock()
local r = load()
if not r then return { 'NONE', now } end
return delete(r, now, number(2))
