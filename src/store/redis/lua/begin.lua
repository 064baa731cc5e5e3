-- ledger::begin
-- ARGV 1 session 2 attempt 3 node 4 run 5 minimum generation 6 expected generation 7 takeover of
--      8 patience 9 max tries 10 urgency (0 due, 1 wanted, 2 hard) 11 fresh margin
local LONGEST_WAIT = 24 * 3600 * 1000
local now = clock()
local r, stone = load()
if not r then return { missing(stone, now), now } end
if r.gen < number(5) then return { 'REGRESSED', now, r.gen } end
if r.status == 2 then return { 'DEAD', now } end
if r.status == 1 then return { 'SUSPECT', now, r.suspect_until } end
if r.gen > number(6) then return { 'NEWER', now, encode(r) } end
local holds = r.slot and r.slot.aid == ARGV[2]
if not holds then
  local urgency = number(10)
  if urgency == 0 and (r.expires == nil or r.expires > now + number(11)) then
    return { 'FRESH', now, raw(r.expires) }
  end
  if urgency ~= 2 and r.not_before and r.not_before > now then
    local lifetime = 0
    if r.expires then lifetime = math.max(0, r.expires - r.received) end
    if r.not_before < now + math.max(LONGEST_WAIT, lifetime) then
      return { 'BACKOFF', now, r.not_before }
    end
  end
  if r.slot and not (r.slot.aid == ARGV[7] and r.slot.till <= now) then
    return { 'BUSY', now, r.slot.aid, r.slot.till }
  end
  if r.tries >= number(9) then return { 'EXHAUSTED', now, r.tries } end
end
if not r.refresh then return { 'NOREFRESH', now } end
if not holds then
  r.lseq, r.tries = r.lseq + 1, r.tries + 1
  r.slot = { aid = ARGV[2], node = ARGV[3], run = ARGV[4], base = r.gen, started = now, till = now + number(8) }
  save(r)
end
schedule(ARGV[1], r.slot.till)
announce('c', ARGV[1], r.ver, r.slot.till)
return { 'GRANTED', now, r.gen, r.lseq, r.tries, r.refresh, r.access, r.provider, r.grant, r.ver }
