-- Says how ambiguous a schema is (JSON Schema): at how many places in its rules llama.cpp may be at once. It compares each
-- token of its vocabulary with all of them, in its only loop, and does so again for each way in which the token's letters can
-- be divided among them. They become more with the length of an answer, so that a short test does not show them.

local module = {}

-- Letters that a token of a vocabulary has (the most are shorter), and the upper bound of a repetition that has none.
local LETTERS, NONE = 8, math.huge

local null = require("cjson").null

-- A set of bytes is a table; what is not ASCII is one member, 128.
local function range(found, first, last)
    for it = math.min(first, 128), math.min(last, 128) do
        found[it] = true
    end
    return found
end

local function any()
    return range({}, 0, 128)
end

-- What is meant by an escape. Letters are read differently by engines: as what they stand for, or as themselves.
local function escaped(byte)
    local found, sign = range({[92] = true}, byte, byte), string.char(math.min(byte, 127))
    if sign == "d" then
        return range(found, 48, 57)
    elseif sign == "w" then
        return range(range(range(range(found, 48, 57), 65, 90), 97, 122), 95, 95)
    elseif sign == "s" then
        return range(range(found, 9, 13), 32, 32)
    end
    return sign:find("%w") and any() or range({}, byte, byte)
end

-- Reads the class that begins at a place: returns its set, and where it ends.
local function class(pattern, at)
    local found, negated, certain, before = {}, pattern:byte(at + 1) == 94, true, nil
    at = at + (negated and 2 or 1)
    while at <= #pattern and pattern:byte(at) ~= 93 do
        local byte = pattern:byte(at)
        if byte == 92 and at < #pattern then
            at, before = at + 1, pattern:byte(at + 1)
            local itself = not string.char(before):find("%w")
            certain = certain and itself
            for it in pairs(itself and range({}, before, before) or escaped(before)) do
                found[it] = true
            end
        elseif byte == 45 and before and at < #pattern and pattern:byte(at + 1) ~= 93 then
            at = at + 1
            local last = pattern:byte(at)
            range(found, before, last == 92 and 128 or last)
            before = nil
        else
            before = byte
            range(found, byte, byte)
        end
        at = at + 1
    end
    if not negated then
        return found, at
    end
    -- What an escape may stand for is not taken away for certain, nor is one character beyond ASCII all of them.
    local other = range({}, 128, 128)
    for it = 0, 127 do
        other[it] = not (found[it] and certain) or nil
    end
    return other, at
end

-- Returns the parts of a pattern in their order: sets of bytes with a lower and an upper bound, and whether they are within a
-- group. A choice (`|`) is a part that may be left out. Nothing where a repetition is repeated, except by `?`.
local function parts(pattern)
    local found, at, depth = {}, 1, 0
    local function add(set, least)
        found[#found + 1] = {set = set, least = least, most = 1, depth = depth, choice = least == 0}
    end
    while at <= #pattern do
        local sign, before = pattern:sub(at, at), found[#found]
        if sign == "[" then
            local set, close = class(pattern, at)
            add(set, 1)
            at = close
        elseif sign == "\\" and at < #pattern then
            at = at + 1
            add(escaped(pattern:byte(at)), 1)
        elseif sign == "." then
            add(any(), 1)
        elseif sign == "|" then
            add(any(), 0)
        elseif sign == "(" or sign == ")" then
            depth = depth + (sign == "(" and 1 or -1)
        elseif sign:find("[?*+{]") and before and before.repeated then
            if sign ~= "?" then
                return nil
            end
            before.least = 0
        elseif sign:find("[?*+]") and before then
            before.least, before.most, before.repeated = sign == "+" and 1 or 0, sign == "?" and 1 or NONE, true
        elseif sign == "{" and before then
            local least, comma, most, close = pattern:match("^{%s*(%d*)%s*(,?)%s*(%d*)%s*}()", at)
            before.least, before.repeated = tonumber(least) or 0, true
            before.most = tonumber(most) or (comma == "" and tonumber(least)) or NONE
            at = (close or at + 1) - 1
        elseif not sign:find("[%^$]") then
            add(range({}, pattern:byte(at), pattern:byte(at)), 1)
        end
        at = at + 1
    end
    return found
end

local function apart(one, other)
    for it in pairs(one) do
        if other[it] then
            return false
        end
    end
    return true
end

-- The work for a run of parts, the first of which is repeated from X to Y times, when nobody knows which letters belong to
-- which part: for each place, in how many ways a token's letters can be divided among what follows. The last repeated part
-- takes the letters that are left.
local function work(run)
    local found, ways, last = 0, 1, true
    for number = #run, 1, -1 do
        local it = run[number]
        if it.least ~= it.most then
            ways = last and 1 or ways * math.min(it.most + 1, LETTERS)
            last = false
        end
        local places = it.most == NONE and it.least + 1 or it.most
        found = found + (number == 1 and 1 or places) * ways
    end
    return found
end

-- Returns the work that a pattern causes: of its worst run. A part that must come, and that nothing before it may be, ends a
-- run: it is clear then at which place the text is. Among choices that is not so: one may have the part, another not.
function module.of_pattern(pattern)
    local found, most, run, seen, within = parts(pattern), 1, {}, {}, math.huge
    for _, it in ipairs(found or {}) do
        within = it.choice and math.min(within, it.depth) or within
    end
    for _, it in ipairs(found or {}) do
        local open = it.depth >= within
        if not open and it.least > 0 and apart(it.set, seen) then
            most, run, seen = math.max(most, work(run)), {}, {}
        end
        if #run > 0 or it.least ~= it.most or open then
            run[#run + 1] = it
            if not it.choice then
                for byte in pairs(it.set) do
                    seen[byte] = true
                end
            end
        end
    end
    return found and math.max(most, work(run)) or math.huge
end

-- Any value: what a schema stands for that says nothing.
local ANY = {}

local function is(value)
    return type(value) == "table"
end

local function of_type(schema, name)
    local kind = schema.type
    if kind == nil or kind == null then
        return true
    end
    for _, it in pairs(is(kind) and kind or {kind}) do
        if it == name then
            return true
        end
    end
    return false
end

-- Lists what a schema may be, without references and choices.
local function plain(schema, refer, found, open)
    if not is(schema) or open[schema] then
        return schema == true and table.insert(found, ANY) or found
    end
    open[schema] = true
    if type(schema["$ref"]) == "string" then
        plain(refer(schema["$ref"]), refer, found, open)
    else
        local more = false
        for _, name in ipairs({"anyOf", "oneOf", "allOf"}) do
            for _, it in pairs(is(schema[name]) and schema[name] or {}) do
                more = true
                plain(it, refer, found, open)
            end
        end
        local says = is(schema.properties) or is(schema.items) or is(schema.prefixItems)
        local listed = (schema.enum or null) ~= null or (schema.const or null) ~= null
        if says or not (more or listed) then
            found[#found + 1] = schema
        end
    end
    open[schema] = nil
    return found
end

-- The schemas of a list's values.
local function values(schema)
    local found = {}
    for _, name in ipairs({"items", "prefixItems", "additionalItems"}) do
        local it = schema[name]
        if is(it) and #it > 0 then
            table.move(it, 1, #it, #found + 1, found)
        elseif is(it) or it == true then
            found[#found + 1] = is(it) and it or ANY
        end
    end
    return #found > 0 and found or {ANY}
end

-- The schema of a property of any name that is not listed, or nothing.
local function further(schema)
    local it = schema.additionalProperties
    if is(it) then
        return it
    end
    return (it == true or not is(schema.properties)) and ANY or nil
end

local function property(schema, name)
    local it = is(schema.properties) and schema.properties[name]
    return it or further(schema)
end

-- Returns whether a text of any length can be read by two schemas at once: whether the same two places come again on the way.
local function both(one, other, seen)
    if one == ANY and other == ANY then
        return false
    end
    local known = seen.pairs[one] or {}
    if known[other] ~= nil then
        return known[other]
    end
    seen.pairs[one], known[other] = known, true
    local others = plain(other, seen.refer, {}, {})
    for _, left in ipairs(plain(one, seen.refer, {}, {})) do
        for _, right in ipairs(others) do
            seen.pairs_left = seen.pairs_left - 1
            if seen.pairs_left < 0 then
                return true
            end
            if of_type(left, "array") and of_type(right, "array") then
                for _, it in ipairs(values(left)) do
                    for _, its in ipairs(values(right)) do
                        if both(it, its, seen) then
                            return true
                        end
                    end
                end
            end
            if of_type(left, "object") and of_type(right, "object") then
                local names = {}
                for _, it in ipairs({left, right}) do
                    for name in pairs(is(it.properties) and it.properties or {}) do
                        names[name] = true
                    end
                end
                for name in pairs(names) do
                    local it, its = property(left, name), property(right, name)
                    if it and its and both(it, its, seen) then
                        return true
                    end
                end
                local it, its = further(left), further(right)
                if it and its and both(it, its, seen) then
                    return true
                end
            end
        end
    end
    known[other] = false
    return false
end

-- Returns whether two choices of a list can be read at once by a text of any length: within a circle of references, each level
-- of the text doubles the places. `seen` has what was found before (`pairs`), how many pairs may be looked at (`pairs_left`),
-- and what a reference stands for (`refer`).
function module.endless(choices, seen)
    local before = {}
    for _, it in pairs(choices) do
        for _, its in ipairs(before) do
            if both(its, it, seen) then
                return true
            end
        end
        before[#before + 1] = it
    end
    return false
end

return module
