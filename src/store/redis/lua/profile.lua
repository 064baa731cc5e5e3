-- ledger::set_profile
-- ARGV 1 session 2 grant 3 profile
local now = clock()
local r = load()
if not r or r.grant ~= number(2) then return { 'NONE', now } end
r.profile = ARGV[3]
save(r)
return { 'DONE', now }
