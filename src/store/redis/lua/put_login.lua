-- KEYS 1 login   ARGV 1 sealed 2 time to live 3 how long it is remembered after that
local now = clock()
redis.call('SET', KEYS[1], struct.pack('>BI6', LOGIN_VERSION, now + tonumber(ARGV[2])) .. NOBODY .. ARGV[1], 'PX',
  tonumber(ARGV[2]) + tonumber(ARGV[3]))
return 'DONE'
