-- Looks at a request before an engine does: engines take more fields than OpenAI's API has, and some of those end them or
-- cost gigabytes. Sets for HAProxy what the request says, or why it is refused:
--
--   txn.model   the name of the model; '' where it cannot be one
--   txn.user    whom the request is for (safety_identifier, or else user)
--   txn.wrong   why it is refused, in English; txn.param the field, or ''; txn.code OpenAI's word, or ''
--   txn.tools   '1' where it brings tools that the model may call
--   txn.personal   where it is asked for (`screen`): 'no' where nothing personal is in it, and 'yes' for everything else
--
-- Of a name that is there twice the last value counts, as for the engines.
--
-- HAProxy interrupts what is written in Lua after a few thousand steps, and answers others meanwhile; it cannot interrupt the
-- decoder, which is in C. So a long body's values are counted first (`values`), in Lua.

local cjson, schema = require("cjson").new(), require("schema")

-- Levels of objects and lists. A schema of an answer has two for each level of what it describes.
cjson.decode_max_depth(64)
cjson.decode_invalid_numbers(false)

local MESSAGES, PARTS, STOPS, BIASES, TEXTS, LOGPROBS, METADATA = 1024, 1024, 16, 1024, 2048, 20, 16
-- Special tokens in the texts of a body, times its bytes: llama.cpp copies the whole prompt for each part between two of
-- them. 83,333 in 1 MB took 31 s, and as much again for each request that was given up.
local COPIED = 1 << 27
-- Bytes of a value for a model's template.
local WORD = 256
-- Of a whole body: its lists, objects and values. Shorter ones are decoded at once: less than a millisecond of work.
local ALL_VALUES, SHORT = 32768, 16384

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

-- What engines give to a model's template themselves, and the template itself: a value from outside would take its place.
local GIVEN = {}
for _, name in ipairs({"messages", "tools", "documents", "chat_template", "tokenize", "conversation"}) do
    GIVEN[name] = true
end

-- A few short values for a model's template.
local function of_template(value)
    for name, it in pairs(type(value) == "table" and value or {}) do
        if GIVEN[name] then
            return false, "has a name that is not offered: " .. name
        elseif type(it) == "table" or (type(it) == "string" and #it > WORD) then
            return false, "has a value that is a list, an object, or more than " .. WORD .. " bytes long"
        end
    end
    return few(16)(value)
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
        local also, reason = other(value)
        return also, type(value) == "table" and reason or why
    end
end

local function up_to(most)
    return function(value)
        return type(value) == "boolean" or (type(value) == "number" and value >= 0 and value <= most), "is at most " .. most
    end
end

local function between(least, most)
    return function(value)
        return type(value) == "number" and value >= least and value <= most, "is a number from " .. least .. " to " .. most
    end
end

local function counted(value)
    return math.type(value) == "integer" or (type(value) == "number" and value == math.floor(value)), "is a whole number"
end

local function positive(value)
    return type(value) == "number" and value > 0 and counted(value), "is a whole number from 1 on"
end

local function not_set(value)
    return value == false, "is not offered: leave it out"
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

-- A picture comes with the request: an engine that fetched one by its address would ask whatever a client names.
local function part_of(part)
    if type(part) ~= "table" then
        return false, "has parts that are objects"
    end
    if part.type == "text" or part.type == "refusal" then
        return type(part[part.type]) == "string", "has a part without its text"
    end
    if part.type == "image_url" then
        local url = type(part.image_url) == "table" and part.image_url.url
        return type(url) == "string" and url:match("^data:image/[a-z+.-]+;base64,[%w+/]+=*$") ~= nil,
            "has a picture that is not in the request: write it as data:image/…;base64,…"
    end
    if part.type == "input_audio" then
        return type(part.input_audio) == "table" and type(part.input_audio.data) == "string", "has a sound without its data"
    end
    return false, "has a part of another kind than text, refusal, image_url and input_audio"
end

local function messages(value)
    if type(value) ~= "table" or #value == 0 or count(value) > MESSAGES then
        return false, "is a list of 1 to " .. MESSAGES
    end
    for _, it in ipairs(value) do
        if type(it) ~= "table" or type(it.role) ~= "string" then
            return false, "has objects with a role each"
        end
        if type(it.content) == "table" then
            if count(it.content) > PARTS then
                return false, "has messages of at most " .. PARTS .. " parts"
            end
            for _, part in pairs(it.content) do
                local good, why = part_of(part)
                if not good then
                    return false, why
                end
            end
        end
    end
    return true
end

local text, number, flag = is("string"), is("number"), is("boolean")
local penalty, share = between(-2, 2), between(0, 1)

-- What OpenAI's API has, without what has a memory, and what vLLM, SGLang and llama.cpp have besides for sampling.
local ALL = {model = text, user = text, safety_identifier = text, prompt_cache_key = text, service_tier = text,
    store = flag, metadata = few(METADATA)}
local SAMPLED = {
    max_tokens = positive, temperature = between(0, 2), top_p = share, seed = counted, frequency_penalty = penalty,
    presence_penalty = penalty, top_k = counted, min_p = share, repetition_penalty = number,
    n = only_one, stop = either(text, list(STOPS)), logit_bias = few(BIASES), logprobs = up_to(LOGPROBS),
    stream = flag, stream_options = few(8), ignore_eos = flag,
}
local FIELDS = {
    ["/v1/chat/completions"] = {
        messages = messages, max_completion_tokens = positive, top_logprobs = up_to(LOGPROBS), response_format = schema.answer,
        tools = schema.tools, tool_choice = either(text, schema.small), parallel_tool_calls = flag, reasoning_effort = text,
        verbosity = text, chat_template_kwargs = of_template,
    },
    ["/v1/completions"] = {prompt = one_text, echo = not_set, suffix = text, best_of = only_one},
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

-- Returns whether a body has few enough values: what is in its strings is passed over, from quote to quote.
local function values(body)
    local found, at = 0, 1
    while true do
        at = body:find('["%[{,]', at)
        if not at then
            return true
        end
        if body:byte(at) == 34 then
            local close, slashes
            repeat
                close = body:find('"', at + 1, true)
                if not close then
                    return true -- it is no JSON, which the decoder says at once
                end
                at, slashes = close, 0
                while body:byte(close - 1 - slashes) == 92 do
                    slashes = slashes + 1
                end
            until slashes % 2 == 0
        else
            found = found + 1
            if found > ALL_VALUES then
                return false
            end
        end
        at = at + 1
    end
end

-- Special tokens that have the form of a tag.
local TAGS = {}
for _, name in ipairs({"s", "unk", "pad", "bos", "eos", "mask", "sep", "cls", "think", "reponame", "filename"}) do
    TAGS[name] = true
end

-- Returns whether a special token of a model's vocabulary begins at a place, by the forms of the usual ones.
local function is_special(text, at)
    local tag = text:match("^</?(%l[%l_]*)%d*>", at)
    return (tag and (TAGS[tag] or tag:find("_", 1, true) or tag:find("^unused")))
        or text:find("^<|", at) or text:find("^<\u{ff5c}", at) or text:find("^%[/?%u[%u%d_]+%]", at)
end

local function unescaped(digits)
    return utf8.char(tonumber(digits, 16))
end

-- Returns how many special tokens the texts in a value have, names among them: a model's template writes both. The arguments
-- of a tool are JSON in a text, of which a template writes what its escapes mean.
local function specials(value)
    local found = 0
    if type(value) == "string" then
        value = value:gsub("\\u(%x%x%x%x)", unescaped):gsub("\\/", "/")
        local at = value:find("[<%[]")
        while at do
            found = found + (is_special(value, at) and 1 or 0)
            at = value:find("[<%[]", at + 1)
        end
    elseif type(value) == "table" then
        for name, it in pairs(value) do
            found = found + specials(name) + specials(it)
        end
    end
    return found
end

local function look(txn)
    local body = txn.f:req_body()
    local readable = body and utf8.len(body)
    if readable and #body > SHORT and not values(body) then
        return refuse(txn, "the request has more than " .. ALL_VALUES .. " values")
    end
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
    if #body > SHORT and specials(found) * #body > COPIED then
        return refuse(txn, "the request has too many special tokens, such as <|end|>, for its length")
    end
    if (found.top_logprobs or cjson.null) ~= cjson.null and found.logprobs ~= true then
        return refuse(txn, "top_logprobs needs logprobs", "top_logprobs")
    end
    -- A request that lets the model call nothing needs none that can.
    if type(found.tools) == "table" and next(found.tools) and found.tool_choice ~= "none" then
        txn:set_var("txn.tools", "1")
    elseif type(found.tool_choice) == "table" or found.tool_choice == "required" then
        return refuse(txn, "tool_choice names a tool, and tools has none", "tool_choice")
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

-- Asks what looks for personal data (dualtrack pii screen), at a Unix socket. Without an answer there is some.
local function screen(txn, path)
    local body = txn.f:req_body() or ""
    local link, said = core.tcp(), nil
    link:settimeout(15)
    if link:connect(path) and link:send(string.pack(">I8", #body) .. body) then
        said = link:receive(1)
    end
    link:close()
    txn:set_var("txn.personal", said == "0" and "no" or "yes")
end

core.register_action("screen", {"http-req"}, screen, 1)

-- Waits until a tenant (txn.mine: with the model on a track) has fewer requests there than its share (txn.share).
local function turn(txn, seconds)
    local mine, share, waited, pause = txn:get_var("txn.mine"), txn:get_var("txn.share"), 0, 20
    local most = tonumber(seconds) * 1000
    while txn.c:table_conn_cur(mine, "shares") >= share do
        if waited >= most then
            return txn:set_var("txn.late", "1")
        end
        core.msleep(pause)
        waited, pause = waited + pause, math.min(pause * 2, 200)
    end
end

core.register_action("turn", {"http-req"}, turn, 1)
