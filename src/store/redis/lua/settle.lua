-- ledger::settle
-- ARGV 1 session 2 max tries
local now = clock()
local r = load()
if not r or r.status ~= 1 then return { 'NOTSUSPECT', now } end
if r.suspect_until > now then return { 'NOTYET', now, r.suspect_until } end
r.ver, r.suspect_until = r.ver + 1, 0
local reply, due
if r.tries < number(2) then
  r.status, reply, due = 0, { 'LASTTRY', now }, now
else
  r.status, reply, due = 2, { 'DEAD', now }, nil
end
save(r)
schedule(ARGV[1], due)
announce('c', ARGV[1], r.ver, due)
return reply
