-- Looks at a request before an engine does: engines take more fields than OpenAI's API has, and some of those end them or
-- cost gigabytes. Sets for HAProxy what the request says, or why it is refused:
--
--   txn.model   the name of the model; '' where it cannot be one
--   txn.user    whom the request is for (safety_identifier, or else user)
--   txn.wrong   why it is refused, in English; txn.param the field, or ''
--   txn.personal   where it is asked for (`screen`): 'no' where nothing personal is in it, and 'yes' for everything else
--
-- Of a name that is there twice the last value counts, as for the engines.

local cjson = require("cjson").new()

-- Levels of objects and lists. A schema of an answer has two for each level of what it describes.
cjson.decode_max_depth(64)
cjson.decode_invalid_numbers(false)

local MESSAGES, PARTS, TOOLS, STOPS, BIASES, TEXTS, LOGPROBS, METADATA = 1024, 1024, 128, 16, 1024, 2048, 20, 16
-- Of a schema: how many values there are in it, and how often something may be repeated. Engines write it out as rules.
local VALUES, REPEATED, PATTERN = 4096, 1000, 256

local function is(kind)
    return function(value)
        return type(value) == kind, "is a " .. kind
    end
end

local function count(value)
    local found = 0
    for _ in pairs(value) do
        found = found + 1
    end
    return found
end

local function few(most)
    return function(value)
        return type(value) == "table" and count(value) <= most, "has at most " .. most .. " values"
    end
end

local function list(most)
    return function(value)
        return type(value) == "table" and #value == count(value) and #value <= most, "is a list of at most " .. most
    end
end

local function either(one, other)
    return function(value)
        local right, why = one(value)
        if right then
            return true
        end
        right = other(value)
        return right, why
    end
end

local function up_to(most)
    return function(value)
        return type(value) == "boolean" or (type(value) == "number" and value <= most), "is at most " .. most
    end
end

local function only_one(value)
    return value == 1, "is 1: ask again for another answer"
end

local function one_text(value)
    if type(value) == "table" and count(value) == 1 then
        value = value[1]
    end
    return type(value) == "string", "is one text: ask for each apart"
end

local REPEATS = {}
for _, name in ipairs({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}) do
    REPEATS[name] = true
end

-- Returns how many values a schema has, or nothing and why it is refused.
local function measured(value, seen)
    if type(value) ~= "table" then
        return seen + 1
    end
    for name, inner in pairs(value) do
        if REPEATS[name] and type(inner) == "number" and inner > REPEATED then
            return nil, "repeats something more than " .. REPEATED .. " times"
        end
        if name == "pattern" and type(inner) == "string" then
            if #inner > PATTERN then
                return nil, "has a pattern of more than " .. PATTERN .. " bytes"
            end
            for number in inner:gmatch("%d+") do
                if tonumber(number) > REPEATED then
                    return nil, "repeats something more than " .. REPEATED .. " times"
                end
            end
        end
        local why
        seen, why = measured(inner, seen + 1)
        if not seen then
            return nil, why
        end
        if seen > VALUES then
            return nil, "has more than " .. VALUES .. " values"
        end
    end
    return seen
end

local function schema(value)
    if type(value) ~= "table" then
        return false, "is a list or an object"
    end
    local found, why = measured(value, 0)
    return found ~= nil, why
end

local function tools(value)
    if type(value) ~= "table" or count(value) > TOOLS then
        return false, "is a list of at most " .. TOOLS
    end
    return schema(value)
end

local function messages(value)
    if type(value) ~= "table" or #value == 0 or count(value) > MESSAGES then
        return false, "is a list of 1 to " .. MESSAGES
    end
    for _, it in ipairs(value) do
        if type(it) ~= "table" or type(it.role) ~= "string" then
            return false, "has objects with a role each"
        end
        if type(it.content) == "table" and count(it.content) > PARTS then
            return false, "has messages of at most " .. PARTS .. " parts"
        end
    end
    return true
end

local text, number, flag = is("string"), is("number"), is("boolean")

-- What OpenAI's API has, without what has a memory, and what vLLM, SGLang and llama.cpp have besides for sampling.
local ALL = {model = text, user = text, safety_identifier = text, prompt_cache_key = text, service_tier = text,
    store = flag, metadata = few(METADATA)}
local SAMPLED = {
    max_tokens = number, temperature = number, top_p = number, seed = number, frequency_penalty = number,
    presence_penalty = number, top_k = number, min_p = number, repetition_penalty = number,
    n = only_one, stop = either(text, list(STOPS)), logit_bias = few(BIASES), logprobs = up_to(LOGPROBS),
    stream = flag, stream_options = few(8), ignore_eos = flag,
}
local FIELDS = {
    ["/v1/chat/completions"] = {
        messages = messages, max_completion_tokens = number, top_logprobs = up_to(LOGPROBS), response_format = schema,
        tools = tools, tool_choice = either(text, schema), parallel_tool_calls = flag, reasoning_effort = text,
        verbosity = text, chat_template_kwargs = few(16),
    },
    ["/v1/completions"] = {prompt = one_text, echo = flag, suffix = text, best_of = only_one},
    ["/v1/embeddings"] = {input = either(text, list(TEXTS)), encoding_format = text, dimensions = number},
}
for path, fields in pairs(FIELDS) do
    for name, right in pairs(ALL) do
        fields[name] = right
    end
    if path ~= "/v1/embeddings" then
        for name, right in pairs(SAMPLED) do
            fields[name] = right
        end
    end
end

local function refuse(txn, why, field)
    txn:set_var("txn.wrong", why)
    txn:set_var("txn.param", field or "")
end

local function look(txn)
    local body = txn.f:req_body()
    local readable = body and utf8.len(body)
    local right, found = false, nil
    if readable then
        right, found = pcall(cjson.decode, body)
    end
    if not right or type(found) ~= "table" or found.model == nil or found.model == cjson.null then
        return refuse(txn, "the request is not JSON, or names no model", "model")
    end
    local fields = FIELDS[txn.f:path()] or {}
    for name, value in pairs(found) do
        local check = fields[name]
        if not check then
            -- A name that is not an identifier may hold anything: it is not repeated.
            local plain = type(name) == "string" and name:match("^[%w_]+$") and #name <= 64
            return refuse(txn, "this field is not offered here", plain and name or "")
        end
        if value ~= cjson.null then
            local good, why = check(value)
            -- A name that is none is answered as one that is not known.
            if not good and name ~= "model" then
                return refuse(txn, name .. " " .. why, name)
            end
        end
    end
    local model = found.model
    txn:set_var("txn.model", type(model) == "string" and model:match("^[%w.-]+$") or "")
    local user = found.safety_identifier
    if type(user) ~= "string" or user == "" then
        user = found.user
    end
    if type(user) == "string" and user ~= "" then
        txn:set_var("txn.user", user)
    end
end

core.register_action("look", {"http-req"}, look)

-- Asks what looks for personal data (dualtrack pii screen), at a port of this host. Without an answer there is some.
local function screen(txn, port)
    local body = txn.f:req_body() or ""
    local link, said = core.tcp(), nil
    link:settimeout(15)
    if link:connect("127.0.0.1", tonumber(port)) and link:send(string.pack(">I8", #body) .. body) then
        said = link:receive(1)
    end
    link:close()
    txn:set_var("txn.personal", said == "0" and "no" or "yes")
end

core.register_action("screen", {"http-req"}, screen, 1)
