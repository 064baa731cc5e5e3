-- ledger::fail
-- ARGV 1 session 2 attempt 3 base 4 kind (N not sent, F refused, A in doubt, I rejected, C misconfigured)
--      5 delay 6 suspect for 7 error note
local now = clock()
local r, stone = load()
if not r then return { missing(stone, now), now } end
if not r.slot or r.slot.aid ~= ARGV[2] then return { 'STALE', now, r.gen } end
r.slot = nil
local reply, due
if r.gen > number(3) then
  reply, due = { 'RECOVERED', now, r.gen }, now + 1000
elseif ARGV[4] == 'I' then
  r.error = ARGV[7]
  if r.spare then
    r.refresh, r.spare, r.gen, r.tries, r.not_before = r.spare, nil, r.gen + 1, 0, nil
    reply, due = { 'TRYSPARE', now, r.gen }, now
  else
    r.ver = r.ver + 1
    if r.tries > 1 then
      r.status, r.suspect_until = 1, now + number(6)
      reply, due = { 'SUSPECT', now, r.suspect_until }, r.suspect_until
    else
      r.status = 2
      reply, due = { 'DEAD', now }, nil
    end
  end
else
  if ARGV[4] ~= 'A' then r.tries = math.max(0, r.tries - 1) end
  r.failures, r.not_before, r.error = r.failures + 1, now + number(5), ARGV[7]
  reply, due = { 'RETRY', now, r.not_before }, r.not_before
end
save(r)
schedule(ARGV[1], due)
announce('c', ARGV[1], r.ver, due)
return reply
