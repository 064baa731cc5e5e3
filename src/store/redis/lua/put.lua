-- ledger::put
-- ARGV 1 session 2 generation 3 provider 4… tokens
local now = clock()
local earlier, stone = load()
local known = earlier or stone
if known and number(2) < known.gen + 2 then return { 'CONFLICT', now, known.gen } end
if number(2) < 1 then return { 'CONFLICT', now, 0 } end
local t = tokens(4)
local before, seq = 0, 0
if earlier then before, seq = earlier.ver, earlier.lseq elseif stone then before, seq = stone.ver, stone.seq end
local r = made_again(now, ARGV[3], number(2), math.max(before + 1, number(2)), t)
r.gen, r.lseq = number(2), seq
if earlier then r.created = earlier.created end
save(r)
local due = after(now, t.due_in)
schedule(ARGV[1], due)
announce('c', ARGV[1], r.ver, due)
return { 'STORED', now, r.ver }
