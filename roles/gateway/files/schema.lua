-- Looks at schemas (JSON Schema) before an engine does: llama.cpp writes a schema out as rules and compares these with each
-- token of its vocabulary, in its only loop; some schemas end its process, and some take its memory.
--
-- Of the keywords, those pass that are listed here; each place of a schema is followed, so that names of properties are no
-- keywords. Work grows with the square of the choices: 16 ranges of whole numbers took 1.4 s, and 120 took minutes.

-- Of a schema: values and bytes of text, choices (`anyOf`, `oneOf`, several types) that are followed side by side, how often
-- something may be repeated, and of a pattern its bytes and its signs for repetition and choice.
local VALUES, BYTES, CHOICES, REPEATED, PATTERN, SIGNS = 512, 32768, 32, 1000, 256, 8
-- Bytes of a name. Names beside `additionalProperties` become a tree in which llama.cpp goes down a byte at a time: one of
-- 25,000 ended its process.
local NAME = 128
-- How ambiguous a schema's patterns may be: places in the rules, times ways to divide a token's letters among them
-- (`ambiguity`). With 1,760, llama.cpp took 2 to 3 s for each token of an answer. An e-mail address is 12.
local WORK = 256
-- Pairs of choices of all schemas together that are followed, to see whether each text can be read by one of them alone.
local PAIRS = 20000
-- Of all tools together.
local TOOLS, TOOL_VALUES, TOOL_BYTES = 128, 4096, 131072

local ambiguity, null = require("ambiguity"), require("cjson").null

local function set(names)
    local found = {}
    for name in names:gmatch("%S+") do
        found[name] = true
    end
    return found
end

-- Keywords by the kind of their value: plain data (ANY), one schema (ONE), or a list of schemas (LISTS).
local ANY = set([[title description default examples example enum const required format uniqueItems nullable discriminator
    deprecated readOnly writeOnly contentEncoding contentMediaType propertyOrdering strict $schema $id $comment]])
local ONE, LISTS = set("items additionalProperties additionalItems"), set("anyOf oneOf allOf")
-- What references lead to is followed from these, as often as they do.
local KEPT = set("$defs definitions")
local TYPES = set("string number integer boolean object array null")
-- A lower bound, and the upper bounds that it must not exceed: llama.cpp repeats what is between them without an end.
local BELOW = {minItems = {"maxItems"}, minLength = {"maxLength"}, minProperties = {"maxProperties"},
    minimum = {"maximum", "exclusiveMaximum"}, exclusiveMinimum = {"maximum", "exclusiveMaximum"}}
local REPEATS = set("minItems maxItems minLength maxLength minProperties maxProperties")
local NUMBERS = set("minimum maximum exclusiveMinimum exclusiveMaximum multipleOf")

-- Returns why a pattern is refused, or nothing; counts the work that it causes.
local function hard(pattern, seen)
    if type(pattern) ~= "string" or #pattern > PATTERN then
        return "has a pattern that is not a text of at most " .. PATTERN .. " bytes"
    end
    for least, most in pattern:gmatch("{%s*(%d*)%s*,?%s*(%d*)") do
        least, most = tonumber(least) or 0, tonumber(most) or REPEATED
        if least > REPEATED or most > REPEATED then
            return "repeats something more than " .. REPEATED .. " times"
        elseif least > most then
            return "has a lower bound above its upper bound"
        end
    end
    if pattern:find("%)[?*+{]") then
        return "has a pattern that repeats a group"
    end
    local _, signs = pattern:gsub("[?*+{|]", "")
    if signs > SIGNS then
        return "has a pattern with more than " .. SIGNS .. " repetitions and choices"
    end
    local work = ambiguity.of_pattern(pattern)
    seen.work, seen.hardest = seen.work + work, math.max(seen.hardest, work)
end

-- Returns why patterns and choices are too ambiguous together, or nothing. Patterns are worked on side by side where choices
-- are: at most all of them, and at most as many as there are choices.
local function ambiguous(seen)
    if math.min(seen.work, seen.hardest * math.max(1, seen.choices)) > WORK then
        return "has a pattern whose repeated parts overlap too much: put between them what they do not match, or lower bounds"
    end
    for _, list in ipairs(seen.lists) do
        if ambiguity.endless(list, seen) then
            return "has choices that lead back to themselves by the same names: one text of any length could be any of them"
        end
    end
end

-- Counts the text of a name; returns why it is too long, or nothing.
local function named(name, seen)
    local text = tostring(name)
    seen.bytes = seen.bytes + #text
    return #text > NAME and "has a name of more than " .. NAME .. " bytes" or nil
end

-- Counts a value that is not a schema; returns why there is too much of it, or nothing.
local function counted(value, seen)
    seen.values = seen.values + 1
    if type(value) == "string" then
        seen.bytes = seen.bytes + #value
    end
    for name, inner in pairs(type(value) == "table" and value or {}) do
        local why = named(name, seen) or counted(inner, seen)
        if why then
            return why
        end
    end
    if seen.values > seen.most_values or seen.bytes > seen.most_bytes then
        return "has more than " .. seen.most_values .. " values or " .. seen.most_bytes .. " bytes of text"
    end
end

-- Counts choices, of which `null` beside one other is none.
local function chosen(list, seen, none)
    local found = 0
    for _, it in pairs(list) do
        found = found + (none(it) and 0 or 1)
    end
    seen.choices = seen.choices + (found > 1 and found or 0)
    if seen.choices > CHOICES then
        return "has more than " .. CHOICES .. " choices"
    end
end

-- Counts types: for each, llama.cpp writes out all that the schema says beside them.
local function several(types, seen)
    local before = {}
    for _, name in pairs(types) do
        if not TYPES[name] or before[name] then
            return "lists an unknown type, or the same type twice"
        end
        before[name] = true
    end
    return chosen(types, seen, function(it) return it == "null" end)
end

-- Returns what a reference stands for within a schema, or nothing.
local function referred(root, reference)
    local found = root
    if type(reference) ~= "string" or not (reference == "#" or reference:find("^#/")) then
        return nil
    end
    for name in reference:sub(2):gmatch("/([^/]*)") do
        found = type(found) == "table" and (found[name] or found[(math.tointeger(name) or -1) + 1]) or nil
    end
    return found
end

local follow

-- Follows a reference. One that leads to itself without a value in between has no end for llama.cpp; nor has one that does so
-- by way of `allOf`, whose parts it puts together before it looks whether it knows them.
local function followed(reference, seen)
    local target, before = referred(seen.root, reference), seen.open[reference]
    if type(target) ~= "table" then
        return "refers to something that is not in it"
    elseif before then
        if before.depth == seen.depth or before.together ~= seen.together then
            return "refers to itself"
        end
        return nil
    end
    seen.open[reference] = {depth = seen.depth, together = seen.together}
    local why = follow(target, seen)
    seen.open[reference] = nil
    return why
end

-- Follows the schemas in a list or an object; `by` is what is counted up meanwhile.
local function each(schemas, seen, by)
    if type(schemas) ~= "table" then
        return "has a list or an object of schemas that is none"
    end
    seen[by] = seen[by] + 1
    for name, it in pairs(schemas) do
        local why = named(name, seen) or follow(it, seen)
        if why then
            return why
        end
    end
    seen[by] = seen[by] - 1
end

local function keyword(schema, name, value, seen)
    if ANY[name] or (type(name) == "string" and name:find("^x%-")) then
        return counted(value, seen)
    elseif KEPT[name] then
        return nil
    elseif name == "type" then
        return counted(value, seen) or (type(value) == "table" and several(value, seen) or nil)
    elseif name == "pattern" then
        return hard(value, seen) or counted(value, seen)
    elseif name == "$ref" then
        return counted(value, seen) or followed(value, seen)
    elseif REPEATS[name] or NUMBERS[name] then
        if type(value) ~= "number" then
            return "has a bound that is not a number"
        elseif REPEATS[name] and (value > REPEATED or value < 0) then
            return "repeats something more than " .. REPEATED .. " times"
        end
        for _, upper in ipairs(BELOW[name] or {}) do
            if type(schema[upper]) == "number" and value > schema[upper] then
                return "has a lower bound above its upper bound"
            end
        end
        return counted(value, seen)
    elseif ONE[name] and (type(value) ~= "table" or #value == 0) then
        return each({value}, seen, "depth")
    elseif ONE[name] or name == "properties" or name == "prefixItems" then
        return each(value, seen, "depth")
    elseif LISTS[name] then
        local why = each(value, seen, name == "allOf" and "together" or "aside")
        if why or name == "allOf" then
            return why
        end
        seen.lists[#seen.lists + 1] = value
        return chosen(value, seen, function(it) return type(it) == "table" and it.type == "null" end)
    end
    local plain = type(name) == "string" and #name <= 64 and name:find("^[%w$_-]+$")
    return "has a keyword that is not offered" .. (plain and ": " .. name or "")
end

-- Returns why a schema is refused, or nothing; counts its values, bytes and choices in `seen`, also those of references.
function follow(schema, seen)
    if type(schema) ~= "table" then
        return counted(schema, seen)
    end
    local why = counted({}, seen)
    for name, value in pairs(schema) do
        if value ~= null then
            why = why or named(name, seen) or keyword(schema, name, value, seen)
        end
    end
    return why
end

local function counting(values, bytes)
    return {values = 0, bytes = 0, choices = 0, pairs_left = PAIRS, most_values = values, most_bytes = bytes}
end

-- The same for the root of a schema: what is referred to is in it.
local function whole(schema, seen)
    seen.root, seen.open, seen.depth, seen.together, seen.aside = schema, {}, 0, 0, 0
    seen.work, seen.hardest, seen.lists, seen.pairs = 0, 0, {}, {}
    function seen.refer(reference)
        return referred(schema, reference)
    end
    return follow(schema, seen) or ambiguous(seen)
end

local function only(value, names, what)
    if type(value) ~= "table" then
        return what .. " that is not an object"
    end
    for name in pairs(value) do
        if not names[name] then
            return what .. " with a name that is not offered"
        end
    end
end

local FORMAT, NAMED_SCHEMA, TOOL, FUNCTION = set("type json_schema schema"), set("name description schema strict"),
    set("type function"), set("name description parameters strict")

local module = {}

-- Checks the form of an answer (`response_format`): returns whether it is right, and why not.
function module.answer(value)
    local seen = counting(VALUES, BYTES)
    local why = only(value, FORMAT, "has a form")
    local given = not why and value.json_schema or null
    if not why and given ~= null then
        why = only(given, NAMED_SCHEMA, "has a json_schema")
        why = why or counted({given.name, given.description, given.strict}, seen)
    end
    for _, it in ipairs(why and {} or {value.schema or null, given ~= null and given.schema or null}) do
        why = why or (it ~= null and whole(it, seen) or nil)
    end
    why = why or counted(value.type, seen)
    return not why, why
end

-- Checks what a model may call: the same for each, and bounds for all of them together.
function module.tools(value)
    local seen = counting(TOOL_VALUES, TOOL_BYTES)
    if type(value) ~= "table" or #value > TOOLS then
        return false, "is a list of at most " .. TOOLS
    end
    local why
    for _, tool in pairs(value) do
        why = why or only(tool, TOOL, "has a tool")
        local called = not why and tool["function"] or null
        if not why and called ~= null then
            why = only(called, FUNCTION, "has a function")
            why = why or counted({called.name, called.description, called.strict, tool.type}, seen)
            why = why or ((called.parameters or null) ~= null and whole(called.parameters, seen) or nil)
        end
    end
    return not why, why
end

-- Checks an object that is not a schema, such as the choice of a tool.
function module.small(value)
    local why = type(value) ~= "table" and "is an object" or counted(value, counting(16, 1024))
    return not why, why
end

return module
