-- ledger::take_login
-- KEYS 1 login   ARGV 1 attempt
local now = clock()
local login = redis.call('GET', KEYS[1])
-- One that an earlier version began is begun again.
if not login or string.byte(login) == 1 then return { 'UNKNOWN' } end
if string.byte(login) ~= LOGIN_VERSION or #login < 23 then error({ err = 'FORMAT a login of another version' }) end
local _, expires, taken_by = struct.unpack('>BI6c16', login)
if taken_by == NOBODY then
  if expires <= now then return { 'EXPIRED' } end
  redis.call('SET', KEYS[1], string.sub(login, 1, 7) .. ARGV[1] .. string.sub(login, 24), 'KEEPTTL')
elseif taken_by ~= ARGV[1] then
  return { 'TAKEN' }
end
return { 'YOURS', string.sub(login, 24) }
