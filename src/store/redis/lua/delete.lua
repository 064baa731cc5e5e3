-- ledger::delete
-- ARGV 1 session 2 how long the tombstone is kept
local now = clock()
local r = load()
if not r then return { 'NONE', now } end
bury(r, now, number(2))
schedule(ARGV[1], nil)
announce('d', ARGV[1], r.ver, nil)
return { 'DELETED', now, r.provider, r.gen, r.ver, r.lseq, now + number(2), r.access, r.refresh }
