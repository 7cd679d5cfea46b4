#!lua name=millrace1
-- Adds what a stream does not have yet, for the streams of one partition (one slot), in one atomic step.
--
-- KEYS  the streams
-- ARGV  length to trim to (0: never), then per stream:
--         the offset + 1 of the last entry the caller knows of (0: none)
--         how many entries follow
--         per entry: offset + 1, the event
-- Answers how many entries were added.
--
-- The stream's own last id decides: what lies at or below it was added before, by whomever. A stream whose last id is below what the
-- caller knows of has lost entries; then nothing at all is written, since filling from here on would leave a hole behind.
redis.register_function('millrace1_add', function(keys, argv)
  local last = {}
  local at = 2
  for i, key in ipairs(keys) do
    local held = 0
    local info = redis.pcall('XINFO', 'STREAM', key)
    if info.err then
      if not string.find(info.err, 'no such key', 1, true) then return info end
    else
      for field = 1, #info, 2 do
        if info[field] == 'last-generated-id' then held = tonumber(string.match(info[field + 1], '^%d+')) end
      end
    end
    if held < tonumber(argv[at]) then
      return redis.error_reply('MILLRACELOST ' .. key .. ' ends at ' .. held .. ', not ' .. argv[at])
    end
    last[i] = held
    at = at + 2 + 2 * tonumber(argv[at + 1])
  end

  local trim = tonumber(argv[1])
  local added = 0
  at = 2
  for i, key in ipairs(keys) do
    local first = at + 2
    local stop = first + 2 * tonumber(argv[at + 1])
    local held = last[i]
    -- Entries ascend: skip the ones the stream has, then add without looking again.
    while first < stop and tonumber(argv[first]) <= held do first = first + 2 end
    for entry = first, stop - 2, 2 do
      redis.call('XADD', key, argv[entry] .. '-0', 'event', argv[entry + 1])
    end
    added = added + (stop - first) / 2
    if trim > 0 and first < stop then redis.call('XTRIM', key, 'MAXLEN', '~', trim) end
    at = stop
  end
  return added
end)
