-- Requests that a tenant has left: a bucket for each, which fills by its requests a minute and holds as many. A request that
-- is refused takes nothing, so a tenant slightly above its limit gets its limit.
--
-- HAProxy has one of these for all threads (lua-load). It needs txn.tenant and txn.most, the requests of a minute, and sets:
--
--   txn.left    whole requests that are left
--   txn.reset   seconds until the bucket is full
--   txn.retry   where there is none: seconds until there is

local buckets = {}

local function limit(txn)
    local tenant, most = txn:get_var("txn.tenant"), txn:get_var("txn.most")
    local now = core.now()
    local at, rate = now.sec + now.usec / 1e6, most / 60
    local it = buckets[tenant]
    if not it then
        it = {level = most, at = at}
        buckets[tenant] = it
    end
    it.level = math.min(most, it.level + math.max(0, at - it.at) * rate)
    it.at = at
    if it.level >= 1 then
        it.level = it.level - 1
    else
        txn:set_var("txn.retry", math.max(1, math.ceil((1 - it.level) / rate)))
    end
    txn:set_var("txn.left", math.floor(it.level))
    txn:set_var("txn.reset", math.ceil((most - it.level) / rate))
end

core.register_action("limit", {"http-req"}, limit)

-- Counts the engines of all models and tracks that can take a request. (HAProxy 2.6 tells Lua no number of them.)
core.register_action("health", {"http-req"}, function(txn)
    local engines = 0
    for name, backend in pairs(core.backends) do
        if name:find("^model%-") then
            for _, server in pairs(backend.servers) do
                local state = server:get_stats().status
                engines = engines + ((state:find("^UP") or state == "no check") and 1 or 0)
            end
        end
    end
    txn:set_var("txn.engines", engines)
end)
