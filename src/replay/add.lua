#!lua name=millracereplay1
-- Adds the events of a replay to its stream, each once, in one atomic step.
--
-- KEYS  the stream
-- ARGV  the id of the last entry the caller knows of ('0-0': none), then per event: its id, the event
-- Answers how many entries were added.
--
-- The stream's own last id decides: XADD refuses what lies at or below it, for it was added before. A stream that ends below what
-- the caller knows of has lost entries; then nothing is written. Ids are 128 bits long, more than a number of Lua can tell
-- apart, so they are compared as text.
local function below(a, b)
  local function part(x, y)
    if #x ~= #y then return #x < #y end
    return x < y
  end
  local ah, al = string.match(a, '^(%d+)-(%d+)$')
  local bh, bl = string.match(b, '^(%d+)-(%d+)$')
  if ah ~= bh then return part(ah, bh) end
  return part(al, bl)
end

redis.register_function('millrace_replay1_add', function(keys, argv)
  local held = '0-0'
  local info = redis.pcall('XINFO', 'STREAM', keys[1])
  if info.err then
    if not string.find(info.err, 'no such key', 1, true) then return info end
  else
    for field = 1, #info, 2 do
      if info[field] == 'last-generated-id' then held = info[field + 1] end
    end
  end
  if below(held, argv[1]) then
    return redis.error_reply('MILLRACELOST ' .. keys[1] .. ' ends at ' .. held .. ', not ' .. argv[1])
  end
  local added = 0
  for i = 2, #argv - 1, 2 do
    local answer = redis.pcall('XADD', keys[1], argv[i], 'event', argv[i + 1])
    if not answer.err then
      added = added + 1
    elseif not string.find(answer.err, 'equal or smaller', 1, true) then
      return answer
    end
  end
  return added
end)
