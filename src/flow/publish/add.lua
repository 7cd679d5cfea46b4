#!lua name=millrace2
-- Adds what streams do not have yet, in one atomic step. On a cluster all streams of a call are in one slot, that is, of one partition.
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
redis.register_function('millrace2_add', function(keys, argv)
  local last = {}
  local at = 2
  for i, key in ipairs(keys) do
    local expected = tonumber(argv[at])
    local held = 0
    -- The newest entry is nearly always the one the caller knows of, and with that question a call costs a
    -- quarter less than with XINFO. It may have been deleted, and a user may lack the command: XINFO knows the last id all the same.
    local newest = redis.pcall('XREVRANGE', key, '+', '-', 'COUNT', 1)
    if not newest.err and newest[1] and newest[1][1] == argv[at] .. '-0' then
      held = expected
    else
      local info = redis.pcall('XINFO', 'STREAM', key)
      if info.err then
        if not string.find(info.err, 'no such key', 1, true) then return info end
      else
        for field = 1, #info, 2 do
          if info[field] == 'last-generated-id' then held = tonumber(string.match(info[field + 1], '^%d+')) end
        end
      end
    end
    if held < expected then
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
      local answer = redis.pcall('XADD', key, argv[entry] .. '-0', 'event', argv[entry + 1])
      if not answer.err then
        added = added + 1
      elseif not string.find(answer.err, 'equal or smaller', 1, true) then
        return answer
      end
      -- Refused for its id: it was added before, and deleted by a reader together with everything behind what the caller knows of.
    end
    if trim > 0 and first < stop then redis.call('XTRIM', key, 'MAXLEN', '~', trim) end
    at = stop
  end
  return added
end)
