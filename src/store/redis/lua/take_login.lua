-- ledger::take_login
-- KEYS 1 login
local now = clock()
local login = redis.call('GET', KEYS[1])
if not login then return { 'UNKNOWN' } end
local version, expires = struct.unpack('>BI6', login)
if version ~= 1 then error({ err = 'FORMAT a login of another version' }) end
if #login == 7 then return { 'TAKEN' } end
if expires <= now then return { 'EXPIRED' } end
redis.call('SET', KEYS[1], string.sub(login, 1, 7), 'KEEPTTL')
return { 'YOURS', string.sub(login, 8) }
