-- ledger::reassert
-- ARGV 1 session 2 attempt 3 node 4 run 5 base 6 sequence 7 tries 8 patience 9 origin's provider
--      10 origin's grant 11 origin's version 12… tokens
local now = clock()
local r, stone = load()
local base, seq = number(5), number(6)
local changed = false

local function base_record(ver)
  local old = r
  r = made_again(now, ARGV[9], number(10), ver + 1, tokens(12))
  r.gen, r.cseq, r.lseq = base, math.max(0, seq - 1), math.max(0, seq - 1)
  if old and old.grant == r.grant then
    r.extra, r.profile, r.created, r.last_read = old.extra, old.profile, old.created, old.last_read
  end
  changed = true
end

if not r then
  if missing(stone, now, number(10)) == 'GONE' then return { 'GONE', now } end
  base_record(number(11))
elseif r.gen < base then
  base_record(math.max(r.ver, number(11)))
end
local reply
if r.slot and r.slot.aid == ARGV[2] then
  reply = { 'HELD', now }
elseif (r.slot and r.lseq >= seq) or r.gen > base + 1 or (r.gen == base + 1 and r.cseq >= seq)
  or r.status ~= 0 then
  reply = { 'PASSED', now }
else
  r.lseq = math.max(r.lseq, seq)
  if r.gen == base then r.tries = math.max(r.tries, number(7)) end
  r.slot = { aid = ARGV[2], node = ARGV[3], run = ARGV[4], base = base, started = now, till = now + number(8) }
  reply, changed = { 'HELD', now }, true
  schedule(ARGV[1], r.slot.till)
  announce('c', ARGV[1], r.ver, r.slot.till)
end
if changed then save(r) end
return reply
