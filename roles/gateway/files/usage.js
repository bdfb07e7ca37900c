// Reads from an answer, as it passes, how many tokens it has cost: the last `usage` in it, or llama.cpp's `timings` where
// the client asked for no usage. Of a stream that the client gives up, each event counts as a token, and the question by
// its length. Each request has variables of its own here. Whatever happens, the answer passes.

var tail = '';
var events = 0;

// Long enough for a last event with usage and timings; an answer's text is in quotes, so that no `"usage":{` is in it.
var KEPT = 4096;
// Of English, with the JSON around it; of Chinese it is less than a token.
var BYTES_OF_A_TOKEN = 4;

function number(text, name) {
    var at = text.lastIndexOf('"' + name + '":');
    if (at < 0) {
        return -1;
    }
    var found = parseInt(text.substring(at + name.length + 3), 10);
    return found >= 0 ? found : -1;
}

function count(r, data, flags) {
    try {
        tail = (tail + data).slice(-KEPT);
        events += data.split('data: {').length - 1;
        if (flags.last) {
            var read = number(tail, 'prompt_tokens');
            var written = number(tail, 'completion_tokens');
            // What llama.cpp knew of the question from another one before it has not read again, but it counts.
            var known = Math.max(0, number(tail, 'prompt_n')) + Math.max(0, number(tail, 'cache_n'));
            r.variables.tokens_read = read >= 0 ? read : known;
            r.variables.tokens_written = written >= 0 ? written : Math.max(0, number(tail, 'predicted_n'));
        } else if (events) {
            r.variables.tokens_read = Math.floor(r.variables.content_length / BYTES_OF_A_TOKEN);
            r.variables.tokens_written = events;
        }
    } catch (error) {
        r.error('tokens are not counted: ' + error.message);
    }
    r.sendBuffer(data, flags);
}

export default {count};
