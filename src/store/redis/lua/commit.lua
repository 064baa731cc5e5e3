-- ledger::commit
-- ARGV 1 session 2 attempt 3 base 4 sequence 5 last read 6 origin's provider 7 origin's grant
--      8 origin's version 9… tokens
local now = clock()
local r, stone = load()
local t, base, seq = tokens(9), number(3), number(4)
if not r then
  local why = missing(stone, now, text(6) and number(7))
  if why == 'GONE' or not text(6) then return { why, now } end
  r = made_again(now, ARGV[6], number(7), number(8), t)
  r.lseq = seq
end
r.last_read = latest(r.last_read, optional(5))
local target = base + 1
local holds = r.slot ~= nil and r.slot.aid == ARGV[2]

local function install()
  r.gen, r.ver, r.cseq, r.caid, r.lseq = target, r.ver + 1, seq, ARGV[2], math.max(r.lseq, seq)
  r.status, r.suspect_until, r.tries, r.failures, r.not_before = 0, 0, 0, 0, nil
  r.access, r.refresh, r.extra = t.access, t.refresh or r.refresh, t.extra or r.extra
  r.received, r.expires = now, after(now, t.expires_in)
  r.refresh_expires = after(now, t.refresh_expires_in) or r.refresh_expires
end

local reply, installs
if r.gen > target then
  reply, installs = { 'STALE', now, r.gen }, false
elseif r.gen < target then
  r.spare = nil
  if text(6) then r.ver = math.max(r.ver, number(8)) end
  install()
  reply, installs = { 'INSTALLED', now, r.gen, r.ver }, true
elseif r.caid == ARGV[2] then
  reply, installs = { 'INSTALLED', now, r.gen, r.ver }, false
elseif seq > r.cseq and (not r.slot or holds) then
  if t.refresh then r.spare, r.refresh = r.refresh, nil end
  install()
  reply, installs = { 'INSTALLED', now, r.gen, r.ver }, true
elseif r.status ~= 0 then
  install()
  reply, installs = { 'HEALED', now, r.gen, r.ver }, true
else
  if t.refresh and t.refresh ~= r.refresh then r.spare = t.refresh end
  reply, installs = { 'LATE', now, r.gen }, false
end
if holds then r.slot = nil end
save(r)
if installs then
  local due = after(now, t.due_in)
  schedule(ARGV[1], due)
  announce('c', ARGV[1], r.ver, due)
end
return reply
