-- Reads and writes entries exactly as ../codec.rs does. Stands in front of every script.
-- An entry is one string, big-endian: a record or what is left of one. Absent times are 0, others are
-- kept one higher.

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function opt(n) if n == 0 then return nil end return n - 1 end
local function raw(n) if n == nil then return 0 end return n + 1 end
local function set(flags, bit) return math.floor(flags / bit) % 2 == 1 end

-- A login is its version, when it ends, who took it, and what was drawn for it, sealed.
local LOGIN_VERSION = 2
local NOBODY = string.rep('\0', 16)

local RECORD_HEAD = '>BBBBI6I6I6I6I6I4I4I6I6I6I6I6I6I6Bc0I3c0'

local function decode(s)
  if not s then return nil end
  if struct.unpack('>B', s) ~= 1 then error({ err = 'FORMAT an entry of another version' }) end
  if struct.unpack('>B', s, 2) == 2 then
    local _, _, gen, ver, seq, stone_until = struct.unpack('>BBI6I6I6I6', s)
    return nil, { gen = gen, ver = ver, seq = seq, stone_until = stone_until }
  end
  local r, _, flags, pos = {}, nil, nil, nil
  _, _, flags, r.status, r.gen, r.grant, r.ver, r.cseq, r.lseq, r.tries, r.failures, r.received, r.created,
    r.expires, r.refresh_expires, r.not_before, r.last_read, r.suspect_until, r.provider, r.access, pos =
    struct.unpack(RECORD_HEAD, s)
  r.expires, r.refresh_expires, r.not_before, r.last_read =
    opt(r.expires), opt(r.refresh_expires), opt(r.not_before), opt(r.last_read)
  if set(flags, 8) then r.refresh, pos = struct.unpack('>I3c0', s, pos) end
  if set(flags, 16) then r.spare, pos = struct.unpack('>I3c0', s, pos) end
  if set(flags, 32) then r.extra, pos = struct.unpack('>I3c0', s, pos) end
  if set(flags, 64) then r.profile, pos = struct.unpack('>I3c0', s, pos) end
  if set(flags, 2) then r.caid, pos = struct.unpack('>c16', s, pos) end
  if set(flags, 1) then
    local slot = {}
    slot.aid, slot.run, slot.base, slot.started, slot.till, slot.node, pos =
      struct.unpack('>c16c8I6I6I6I2c0', s, pos)
    r.slot = slot
  end
  if set(flags, 4) then r.error = string.sub(s, pos) end
  return r
end

local function blob(flag, value)
  if value then return flag, struct.pack('>I3c0', #value, value) end
  return 0, ''
end

local function encode(r)
  local f1, refresh = blob(8, r.refresh)
  local f2, spare = blob(16, r.spare)
  local f3, extra = blob(32, r.extra)
  local f4, profile = blob(64, r.profile)
  local flags = f1 + f2 + f3 + f4
  local caid, slot, fault = '', '', ''
  if r.caid then flags = flags + 2; caid = r.caid end
  if r.slot then
    local t = r.slot
    flags = flags + 1
    slot = struct.pack('>c16c8I6I6I6I2c0', t.aid, t.run, t.base, t.started, t.till, #t.node, t.node)
  end
  if r.error then flags = flags + 4; fault = r.error end
  return struct.pack(RECORD_HEAD, 1, 1, flags, r.status, r.gen, r.grant, r.ver, r.cseq, r.lseq, r.tries,
    r.failures, r.received, r.created, raw(r.expires), raw(r.refresh_expires), raw(r.not_before),
    raw(r.last_read), r.suspect_until, #r.provider, r.provider, #r.access, r.access)
    .. refresh .. spare .. extra .. profile .. caid .. slot .. fault
end

-- KEYS of every script on a session: 1 entry, 2 due index, 3 channel.
local function load() return decode(redis.call('GET', KEYS[1])) end
local function save(r) redis.call('SET', KEYS[1], encode(r)) end

local function bury(r, now, keep)
  redis.call('SET', KEYS[1], struct.pack('>BBI6I6I6I6', 1, 2, r.gen, r.ver, r.lseq, now + keep), 'PX', keep)
end

-- Why there is no record: a tombstone whose time has not come says so, of a login up to its own generation.
local function missing(stone, now, grant)
  if stone and stone.stone_until > now and not (grant and stone.gen < grant) then return 'GONE' end
  return 'ABSENT'
end

-- Moves the due time (nil for never) and tells who looks after the bucket, and who has read the session.
local function announce(kind, sid, ver, due)
  redis.call('SPUBLISH', KEYS[3], struct.pack('>c1I6I6c0', kind, ver, raw(due), sid))
end

local function schedule(sid, due)
  if due then redis.call('ZADD', KEYS[2], due, sid) else redis.call('ZREM', KEYS[2], sid) end
end

local function delete(r, now, keep)
  bury(r, now, keep)
  schedule(ARGV[1], nil)
  announce('d', ARGV[1], r.ver, nil)
  return { 'DELETED', now, r.provider, r.gen, r.ver, r.lseq, now + keep, r.access, r.refresh }
end

local function number(index) return tonumber(ARGV[index]) end
local function optional(index)
  if ARGV[index] == '' then return nil end
  return tonumber(ARGV[index])
end
local function text(index)
  if ARGV[index] == '' then return nil end
  return ARGV[index]
end
local function after(now, span)
  if span then return now + span end
  return nil
end
local function latest(a, b)
  if a == nil then return b end
  if b == nil or a > b then return a end
  return b
end

-- Tokens of seven arguments from `first` on: access, refresh, extra, three spans, their provider apart.
local function tokens(first)
  return {
    access = ARGV[first],
    refresh = text(first + 1),
    extra = text(first + 2),
    expires_in = optional(first + 3),
    refresh_expires_in = optional(first + 4),
    due_in = optional(first + 5),
  }
end

-- A record the store has lost (../../../ledger/record.rs, `made_again`).
local function made_again(now, provider, grant, ver, t)
  return {
    provider = provider, status = 0, gen = 0, grant = grant, ver = ver, cseq = 0, lseq = 0, tries = 0,
    failures = 0, access = t.access, refresh = t.refresh, extra = t.extra, received = now, created = now,
    expires = after(now, t.expires_in), refresh_expires = after(now, t.refresh_expires_in),
    last_read = now, suspect_until = 0,
  }
end
