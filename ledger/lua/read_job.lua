#!lua flags=no-writes
-- What the ledger holds of a job.
--
-- KEYS 1 job  2 request  3 result
-- Returns {flat fields of the job, request JSON, record JSON, now}; missing keys are empty or nil
--!include _clock
return {
  redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3]),
  now_ms() }
