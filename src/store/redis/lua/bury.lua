-- ledger::bury
-- ARGV 1 session 2 generation 3 version 4 last sequence 5 how long the tombstone is kept
local now = clock()
local r, stone = load()
if r and r.grant > number(2) then return { 'LOGGEDIN', now } end
if r then return delete(r, now, number(5)) end
if not stone or stone.gen < number(2) then
  bury({ gen = number(2), ver = number(3), lseq = number(4) }, now, number(5))
  announce('d', ARGV[1], number(3), nil)
end
return { 'GONE', now }
