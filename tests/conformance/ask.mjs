// Asks the gateway as a user of OpenAI's own client for Node would; prints what came as JSON.
// Environment: BASE_URL, API_KEY, and NODE_EXTRA_CA_CERTS with the authority.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0 });

async function refusal(ask) {
  try {
    await ask();
    return "answered";
  } catch (error) {
    return `${error.constructor.name} ${error.status} ${error.code}`;
  }
}

async function streamed(many) {
  const pieces = [];
  let usage = null;
  const stream = await client.chat.completions.create({
    model: "smollm2",
    messages: [{ role: "user", content: "Name a city in France." }],
    max_tokens: 64,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const event of stream) {
    if (event.choices[0]?.delta?.content) pieces.push(event.choices[0].delta.content);
    usage = event.usage ?? usage;
    if (pieces.length >= many) break; // closes the connection
  }
  return { pieces: pieces.length, usage };
}

const models = [];
for await (const it of client.models.list()) models.push(it.id);
const question = { model: "smollm2", prompt: "The capital of France is", max_tokens: 8, temperature: 0 };
const { data, response } = await client.completions.create(question).withResponse();
const stranger = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "dt-none", maxRetries: 0 });
console.log(JSON.stringify({
  models,
  text: data.choices[0].text,
  engine: response.headers.get("x-dualtrack-engine"),
  whole: await streamed(1000),
  left: await streamed(2),
  again: (await client.completions.create(question)).choices[0].text,
  model: await refusal(() => client.completions.create({ ...question, model: "other" })),
  key: await refusal(() => stranger.models.list()),
  much: await refusal(() => client.completions.create({ ...question, n: 1000 })),
}));
