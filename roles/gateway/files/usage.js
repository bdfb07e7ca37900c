// Looks at an answer as it passes. Each request has variables of its own here. Whatever happens, the answer passes.
//
// - How many tokens it has cost: the last `usage` in it, or llama.cpp's `timings` where the client asked for no usage. Of a
//   stream without either, and of one that the client gives up, each event counts as a token, and the question by its length.
// - How much of the question an engine knew already is not said (HIDDEN): it may have been another tenant's. The number is
//   written over by a 0 and blanks, so that the answer has the length that its header says.
// - A stream of events that breaks off ends with an event that says so; it has no end otherwise, which some clients take for
//   the right one.

var tail = '';
var events = 0;
var over = false;

// Long enough for a last event with usage and timings; an answer's text is in quotes, so that no `"usage":{` is in it.
var KEPT = 4096;
// Of English, with the JSON around it; of Chinese it is less than a token.
var BYTES_OF_A_TOKEN = 4;
var HIDDEN = ['"cached_tokens":', '"cache_n":'];
var BLANK = 32, ZERO = 48, NINE = 57, NAME = 16;
// By name: how much of it the last piece ended with; and in what a number is that is written over: 1 before it, 2 in it.
var begun = [0, 0];
var hiding = 0;

function number(text, name) {
    var at = text.lastIndexOf('"' + name + '":');
    if (at < 0) {
        return -1;
    }
    var found = parseInt(text.substring(at + name.length + 3), 10);
    return found >= 0 ? found : -1;
}

// Writes over the number at a place, as far as it is in this piece.
function blank(data, at) {
    hiding = hiding || 1;
    for (; at < data.length && hiding; at++) {
        if (data[at] >= ZERO && data[at] <= NINE) {
            data[at] = hiding == 1 ? ZERO : BLANK;
            hiding = 2;
        } else if (hiding == 2 || data[at] != BLANK) {
            hiding = 0;
        }
    }
}

function hide(data) {
    if (hiding) {
        blank(data, 0);
    }
    var end = data.slice(Math.max(0, data.length - NAME)).toString();
    for (var which = 0; which < HIDDEN.length; which++) {
        var name = HIDDEN[which], known = begun[which];
        var missing = known ? name.slice(known) : '';
        if (known && data.length >= missing.length && data.slice(0, missing.length).toString() == missing) {
            blank(data, missing.length);
        }
        for (var at = data.indexOf(name); at >= 0; at = data.indexOf(name, at + name.length)) {
            blank(data, at + name.length);
        }
        // A piece may be shorter than what is missing of a name.
        var last = known && data.length < missing.length ? name.slice(0, known) + end : end;
        begun[which] = 0;
        // Each name has quotes at its begin and before its colon: nowhere else can a part of it begin.
        for (var from = last.lastIndexOf('"'); from >= 0; from = from ? last.lastIndexOf('"', from - 1) : -1) {
            if (last.length - from < name.length && name.startsWith(last.slice(from))) {
                begun[which] = Math.max(begun[which], last.length - from);
            }
        }
    }
}

function count(r, data, flags) {
    try {
        if (data.length) {
            var text = data.toString();
            tail = tail.length + text.length > KEPT ? (tail + text).slice(-KEPT) : tail + text;
            for (var at = text.indexOf('data: {'); at >= 0; at = text.indexOf('data: {', at + 7)) {
                events++;
            }
            hide(data);
        } else if (!flags.last && events && !over && tail.indexOf('data: [DONE]') < 0) {
            // nginx says that what it asks has broken off by an empty piece that is not the last one.
            over = true;
            r.sendBuffer('data: {"error": {"message": "the engine broke off in the middle of this answer", "type": "server_error",' +
                ' "param": null, "code": "stream_cut"}}\n\n', {flush: true});
        }
        if (flags.last) {
            var read = number(tail, 'prompt_tokens');
            var written = number(tail, 'completion_tokens');
            // What llama.cpp knew of the question from another one before it has not read again, but it counts.
            var known = read < 0 ? Math.max(0, number(tail, 'prompt_n')) + Math.max(0, number(tail, 'cache_n')) : read;
            var told = written < 0 ? number(tail, 'predicted_n') : written;
            if (known || told >= 0 || !events) {
                r.variables.tokens_read = known;
                r.variables.tokens_written = Math.max(0, told);
                events = 0;
            }
        }
        if (events) {
            r.variables.tokens_read = Math.floor(r.variables.content_length / BYTES_OF_A_TOKEN);
            r.variables.tokens_written = events;
        }
    } catch (error) {
        r.error('tokens are not counted: ' + error.message);
    }
    r.sendBuffer(data, flags);
}

export default {count};
