/**
 * What gateways do to the limits they share, as one script, which Redis runs as one step by its own clock. All keys are
 * of one workspace, whose id is their hash tag, so that they are in one slot of a cluster:
 *
 * - `KEYS[1]` sorted set of sessions: the key of what one has reserved → when it has died, in ms since 1970;
 * - `KEYS[2]` what one session has reserved: hash of id → "meter amount meter amount …";
 * - `KEYS[3…]` meters: `r level at capacity window` of a rate, `d|m start stop spent reserved` of a budget.
 *
 * Rates and budgets decide as `TokenBucket` and `Budget` do; a test holds them against each other. Numbers are written
 * with 17 digits, for `tostring` of Lua writes 14.
 */
export const LIMIT_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local EPSILON = 1e-6
local DAY = 86400000
-- What nobody asks for goes: after more than the longest period of a budget.
local FORGET = 40 * DAY
local floor = math.floor

local function text(number)
  return string.format('%.17g', number)
end

-- Counted from 0. https://howardhinnant.github.io/date_algorithms.html#civil_from_days
local function day_of_month(days)
  local era_day = (days + 719468) % 146097
  local year = floor((era_day - floor(era_day / 1460) + floor(era_day / 36524) - floor(era_day / 146096)) / 365)
  local year_day = era_day - (365 * year + floor(year / 4) - floor(year / 100))
  return year_day - floor((153 * floor((5 * year_day + 2) / 153) + 2) / 5)
end

local function period(kind)
  local today = floor(now / DAY)
  if kind == 'd' then return today * DAY, (today + 1) * DAY end
  local first = today - day_of_month(today)
  local beyond = first + 31
  return first * DAY, (beyond - day_of_month(beyond)) * DAY
end

local function parse(state)
  if not state then return nil end
  local kind, a, b, c, d = string.match(state, '^(%a) (%S+) (%S+) (%S+) (%S+)$')
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  if kind == 'r' then return { kind = kind, level = a, at = b, capacity = c, window = d } end
  return { kind = kind, start = a, stop = b, spent = c, reserved = d }
end

local function write(meter)
  if meter.kind == 'r' then
    return 'r ' .. text(meter.level) .. ' ' .. text(meter.at) .. ' ' .. text(meter.capacity) .. ' ' .. text(meter.window)
  end
  return meter.kind .. ' ' .. text(meter.start) .. ' ' .. text(meter.stop) .. ' ' .. text(meter.spent) .. ' ' .. text(meter.reserved)
end

local function save(key, meter)
  local ttl
  if meter.kind == 'r' then
    -- Until it is full, and a window more.
    ttl = meter.window
    if meter.capacity > 0 then ttl = ttl + (meter.capacity - meter.level) * (meter.window / meter.capacity) end
  else
    ttl = meter.stop - now + 3600000
  end
  redis.call('SET', key, write(meter), 'PX', string.format('%.0f', math.min(FORGET, math.ceil(ttl))))
end

-- To the present. A clock that was set back fills nothing.
local function advance(meter)
  if meter.kind == 'r' then
    if now > meter.at then
      meter.level = math.min(meter.capacity, meter.level + (now - meter.at) * (meter.capacity / meter.window))
    end
    meter.at = now
  elseif now >= meter.stop or now < meter.start then
    meter.start, meter.stop = period(meter.kind)
    meter.spent = 0
  end
end

-- What was reserved is free again, and what was used is used.
local function settle(meter, reserved, used)
  if meter.kind == 'r' then
    meter.level = math.min(meter.capacity, meter.level + reserved - used)
  else
    meter.reserved = math.max(0, meter.reserved - reserved)
    meter.spent = meter.spent + used
  end
end

local function reserve(meter, amount)
  if meter.kind == 'r' then meter.level = meter.level - amount else meter.reserved = meter.reserved + amount end
end

local function give_back(key, amount)
  local meter = parse(redis.call('GET', key))
  if not meter then return end
  advance(meter)
  settle(meter, amount, 0)
  save(key, meter)
end

-- What a session that is over, or whose gateway is dead, has still reserved is free again.
local function end_session(reservations)
  local sums = {}
  for _, record in ipairs(redis.call('HVALS', reservations)) do
    for key, amount in string.gmatch(record, '(%S+) (%S+)') do sums[key] = (sums[key] or 0) + tonumber(amount) end
  end
  for key, sum in pairs(sums) do give_back(key, sum) end
  redis.call('DEL', reservations)
  redis.call('ZREM', KEYS[1], reservations)
end

-- Where nobody beats any more, it goes by itself.
local function hold(id, record)
  redis.call('HSET', KEYS[2], id, record)
  redis.call('PEXPIRE', KEYS[2], FORGET)
end

local function renew(lease)
  redis.call('ZADD', KEYS[1], text(now + lease), KEYS[2])
  redis.call('PEXPIRE', KEYS[1], FORGET)
end

-- Of a meter, from the five arguments that tell it. The second result: whether Redis did not know it.
local function load(i, at, state)
  local kind, amount, scope, known = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local meter = parse(state)
  local is_new = not meter or meter.kind ~= kind
  if is_new and kind == 'r' then
    meter = { kind = kind, level = math.min(amount, known), at = now, capacity = amount, window = scope }
  elseif is_new then
    meter = { kind = kind, start = 0, stop = 0, spent = 0, reserved = 0 }
  end
  advance(meter)
  -- The limit was changed: what was used stays used.
  if kind == 'r' and meter.capacity ~= amount then
    meter.level = meter.level + amount - meter.capacity
    meter.capacity = amount
    meter.is_changed = true
  end
  -- A budget only grows in its period: whoever has seen the most is right.
  if is_new and kind ~= 'r' and meter.start == scope then meter.spent = known end
  return meter, is_new
end

local op = ARGV[1]

-- op, id, lease, whether the session is new, then of each meter: kind, amount, window or start of the known period,
-- known level or spent, flag (rate: used without Redis; budget: hard stop), what is wanted ('': only to be told).
if op == 'reserve' then
  if ARGV[4] == '1' then
    renew(tonumber(ARGV[3]))
  elseif not redis.call('ZSCORE', KEYS[1], KEYS[2]) then
    return { 'gone' }
  end
  local states = redis.call('MGET', unpack(KEYS, 3))
  local meters, wants, changed = {}, {}, {}
  local longest, refusing = 0, 0
  for i = 1, #states do
    local at = 5 + (i - 1) * 6
    local meter, is_new = load(i, at, states[i])
    local scope, known, flag, want = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4], tonumber(ARGV[at + 5])
    local amount = tonumber(ARGV[at + 1])
    local wait = 0
    if meter.kind == 'r' then
      if flag == '1' and known < meter.level then
        meter.level = known
        changed[i] = true
      end
      if want and meter.level + EPSILON < want then
        wait = want > amount and math.huge or (want - meter.level) / (amount / meter.window)
      end
    else
      if meter.start == scope and known > meter.spent then
        meter.spent = known
        changed[i] = true
      end
      if want and flag == '1' and meter.spent + meter.reserved + want > amount then wait = meter.stop - now end
    end
    if wait > longest then longest, refusing = wait, i end
    meters[i], wants[i] = meter, want
    changed[i] = changed[i] or is_new or meter.is_changed
  end
  local record = {}
  local reply = { refusing == 0 and '1' or '0', text(refusing), text(longest) }
  for i, meter in ipairs(meters) do
    if refusing == 0 and wants[i] then
      reserve(meter, wants[i])
      changed[i] = true
      record[#record + 1] = KEYS[i + 2] .. ' ' .. text(wants[i])
    end
    if changed[i] then save(KEYS[i + 2], meter) end
    reply[#reply + 1] = write(meter)
  end
  if refusing == 0 then hold(ARGV[2], table.concat(record, ' ')) end
  return reply
end

-- op, id, then of each meter: kind, amount, window or start, known, what was used, what is reserved from now on ('': nothing).
if op == 'settle' then
  local record = redis.call('HGET', KEYS[2], ARGV[2])
  local is_alive = record or redis.call('ZSCORE', KEYS[1], KEYS[2])
  if record then
    redis.call('HDEL', KEYS[2], ARGV[2])
  elseif is_alive then
    -- It was settled before: this is sent again because nobody knew.
    return { 'done' }
  end
  local reserved = {}
  for key, amount in string.gmatch(record or '', '(%S+) (%S+)') do reserved[key] = tonumber(amount) end
  local states = #KEYS > 2 and redis.call('MGET', unpack(KEYS, 3)) or {}
  local kept, reply = {}, { 'ok' }
  for i = 1, #states do
    local key, at = KEYS[i + 2], 3 + (i - 1) * 6
    local meter, is_new = load(i, at, states[i])
    local used, want = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
    -- What was known of a meter that Redis had lost has this in it.
    if not is_new then settle(meter, reserved[key] or 0, used) end
    reserved[key] = nil
    -- Nobody would free it under a session that is over.
    if want and is_alive then
      if not (is_new and meter.kind == 'r') then reserve(meter, want) end
      kept[#kept + 1] = key .. ' ' .. text(want)
    end
    save(key, meter)
    reply[#reply + 1] = write(meter)
  end
  for key, amount in pairs(reserved) do give_back(key, amount) end
  if #kept > 0 then hold(ARGV[2], table.concat(kept, ' ')) end
  return reply
end

-- op, lease, whether the session is new.
if op == 'beat' then
  if ARGV[3] ~= '1' and not redis.call('ZSCORE', KEYS[1], KEYS[2]) then return { 'gone' } end
  renew(tonumber(ARGV[2]))
  redis.call('PEXPIRE', KEYS[2], FORGET)
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, 10)) do end_session(dead) end
  return { 'ok' }
end

if op == 'end' then
  end_session(KEYS[2])
  return { 'ok' }
end

return redis.error_reply('ERR no such operation: ' .. tostring(op))
`;
