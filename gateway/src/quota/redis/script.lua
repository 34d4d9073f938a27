-- Asks, charges and gives back units of limits; gcra.rs in Redis. Everything or nothing of a job happens.
-- KEYS: one for each limit. ARGV[1]: doubles: for each job its kind (0 ask, 1 charge, 2 give back), how many
-- identical requests it is, its number of groups; for each group whether it is enforced, units of one request,
-- its number of limits; for each limit weight, rate, tick and capacity.
-- Answer: for each job the requests that are admitted, -1 when a key holds something else; for each of its
-- groups the requests that the group admits; for each of its limits the debt.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local input, place, key = ARGV[1], 1, 0
local states, written, out = {}, {}, {}

local function state(name, weight, rate, tick, capacity)
  local it = states[name]
  if it == nil then
    local raw = redis.pcall('GET', name)
    if raw == false then
      it = {0, now}
    elseif type(raw) == 'table' or #raw ~= 24 then
      it = false
    else
      local debt, since, old = struct.unpack('<ddd', raw)
      if old ~= weight then debt = math.min(math.ceil(debt / old) * weight, capacity) end
      if since - now > 1000000 then since = now end
      local ticks = math.max(0, math.floor((now - since) / tick))
      debt = math.max(0, debt - ticks * rate)
      if debt == 0 then since = math.max(since, now) else since = since + ticks * tick end
      it = {debt, since}
    end
    states[name] = it
  end
  return it
end

while place <= #input do
  local kind, requests, groups
  kind, requests, groups, place = struct.unpack('<ddd', input, place)
  local job, broken, admitted = {}, false, requests
  for g = 1, groups do
    local group = {limits = {}}
    local count
    group.enforced, group.cost, count, place = struct.unpack('<ddd', input, place)
    group.admits = requests
    for l = 1, count do
      local limit = {}
      limit.weight, limit.rate, limit.tick, limit.capacity, place = struct.unpack('<dddd', input, place)
      key = key + 1
      limit.name = KEYS[key]
      limit.state = state(limit.name, limit.weight, limit.rate, limit.tick, limit.capacity)
      if not limit.state then
        broken = true
      elseif kind == 0 and group.cost > 0 then
        local room = math.floor((limit.capacity - limit.state[1]) / (group.cost * limit.weight))
        group.admits = math.max(0, math.min(group.admits, room))
      end
      group.limits[l] = limit
    end
    if group.enforced == 1 then admitted = math.min(admitted, group.admits) end
    job[g] = group
  end
  out[#out + 1] = broken and -1 or admitted
  for _, group in ipairs(job) do
    out[#out + 1] = group.admits
    local units = math.min(admitted, group.admits) * group.cost
    for _, limit in ipairs(group.limits) do
      if broken then
        out[#out + 1] = 0
      else
        local it = limit.state
        if units > 0 then
          if kind == 2 then
            it[1] = math.max(0, it[1] - units * limit.weight)
          else
            it[1] = math.min(it[1] + units * limit.weight, 2 * limit.capacity)
          end
          written[limit.name] = {it[1], it[2], limit.weight, math.ceil(it[1] / limit.rate) * limit.tick / 1000}
        end
        out[#out + 1] = it[1]
      end
    end
  end
end

for name, it in pairs(written) do
  redis.call('SET', name, struct.pack('<ddd', it[1], it[2], it[3]), 'PX', math.ceil(it[4]) + 1000)
end
return out
