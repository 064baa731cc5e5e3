-- KEYS 1 entry 2 due index   ARGV 1 session
return { clock(), redis.call('GET', KEYS[1]), redis.call('ZSCORE', KEYS[2], ARGV[1]) }
