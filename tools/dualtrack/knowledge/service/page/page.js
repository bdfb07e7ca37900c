"use strict";

// What the page says, in both languages. Everything that comes from the service is set as text, never as HTML.
const WORDS = {
  en: {
    title: "Knowledge base", token: "Token", how: "dualtrack access token NAME --for knowledge prints one.", enter: "Sign in",
    leave: "Sign out", tongue: "Language", question: "Question", ask: "Ask", search: "Only search", stop: "Stop",
    answer: "Answer", sources: "Sources", works: "Looking for it …", none: "Nothing was found that you may see.",
    refused: "This token is not known, or has ended.", often: "Too many questions: again in {0} s.",
    gone: "The knowledge base does not answer: {0}", broke: "The answer broke off.", from: "Answered on the {0} track", near: "{0} near", named: "named in the answer", hello: "Signed in as {0}",
  },
  zh: {
    title: "知识库", token: "令牌", how: "用 dualtrack access token 姓名 --for knowledge 生成。", enter: "登录",
    leave: "退出", tongue: "语言", question: "问题", ask: "提问", search: "仅检索", stop: "停止",
    answer: "回答", sources: "来源", works: "正在查找……", none: "没有找到您有权查看的相关资料。",
    refused: "令牌无效或已过期。", often: "提问过于频繁，请在 {0} 秒后重试。",
    gone: "知识库没有响应：{0}", broke: "回答中断。", from: "由{0}轨道生成", near: "相似度 {0}", named: "回答中引用", hello: "已登录：{0}",
  },
};
const TRACKS = { en: { local: "local", cloud: "cloud" }, zh: { local: "本地", cloud: "云端" } };

const at = (id) => document.getElementById(id);
let tongue = localStorage.getItem("tongue") || (navigator.language.startsWith("zh") ? "zh" : "en");
let token = sessionStorage.getItem("token") || "";
let name = "";
let shown = null; // what is shown now, to be said again in another language
let running = null;

const say = (key, ...values) => WORDS[tongue][key].replace(/\{(\d)\}/g, (_, it) => values[it]);

function speak() {
  document.documentElement.lang = tongue === "zh" ? "zh-Hans" : "en";
  document.title = say("title");
  at("tongue").value = tongue;
  for (const it of document.querySelectorAll("[data-text]")) it.textContent = say(it.dataset.text);
  at("name").textContent = name && say("hello", name);
  if (shown) show(shown);
}

function trouble(text) {
  at("trouble").textContent = text;
  at("state").textContent = "";
}

async function asked(path, body, signal) {
  const answer = await fetch(path, {
    method: body ? "POST" : "GET", signal, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  if (answer.ok) return answer;
  if (answer.status === 401) { leave(); throw new Error(say("refused")); }
  if (answer.status === 429) throw new Error(say("often", answer.headers.get("Retry-After") || "60"));
  const found = await answer.json().catch(() => ({}));
  throw new Error(found.error ? found.error.message : say("gone", answer.status));
}

function leave() {
  token = name = "";
  sessionStorage.removeItem("token");
  shown = null;
  for (const it of ["answered", "found", "ask", "leave"]) at(it).hidden = true;
  at("enter").hidden = false;
  speak();
}

async function enter() {
  if (!token) return;
  try {
    const me = await (await asked("v1/me")).json();
    sessionStorage.setItem("token", token);
    name = me.name;
    at("enter").hidden = true;
    at("ask").hidden = at("leave").hidden = false;
    at("answer").hidden = !me.answers;
    at("trouble").textContent = "";
    speak();
    at("question").focus();
  } catch (error) { trouble(error.message); }
}

function source(it) {
  const row = document.createElement("li");
  const open = document.createElement("details");
  const head = document.createElement("summary");
  const where = [`${it.hit.collection}/${it.hit.source}`, ...it.hit.headings, ...(it.hit.place ? [it.hit.place] : [])].join(" › ");
  head.textContent = `${where} (${say("near", it.hit.score.toFixed(2))}${it.cited ? `, ${say("named")}` : ""})`;
  if (it.cited) head.className = "cited";
  const text = document.createElement("div");
  text.className = "quote";
  text.textContent = it.hit.text;
  open.append(head, text);
  row.append(open);
  return row;
}

function show(now) {
  shown = now;
  at("answered").hidden = now.text === null;
  at("text").textContent = now.text || "";
  at("from").textContent = now.track && say("from", TRACKS[tongue][now.track] || now.track);
  at("found").hidden = !now.sources.length;
  at("sources").replaceChildren(...now.sources.map(source));
  if (now.text === null && !now.sources.length) at("state").textContent = say("none");
}

async function* events(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const parts = rest.split("\n\n");
    rest = parts.pop();
    for (const it of parts) if (it.startsWith("data: ")) yield it.slice(6);
  }
}

async function answer(question, signal) {
  const messages = [{ role: "user", content: question }];
  const found = await asked("v1/chat/completions", { model: "knowledge", stream: true, messages }, signal);
  const now = { text: "", sources: [], track: "" };
  let ended = false;
  for await (const it of events(found.body)) {
    if (it === "[DONE]") { ended = true; break; }
    const part = JSON.parse(it);
    if (part.error) throw new Error(say("broke"));
    const [choice] = part.choices;
    if (choice && choice.delta.content) at("text").textContent = now.text += choice.delta.content;
    at("answered").hidden = false;
    if (part.citations) Object.assign(now, { sources: part.citations, track: part.track });
  }
  if (!ended) throw new Error(say("broke"));
  show(now);
}

async function search(question, signal) {
  const found = await (await asked("v1/search", { question, count: 10 }, signal)).json();
  show({ text: null, sources: found.hits.map((hit) => ({ hit, cited: false })), track: "" });
}

async function begin(way) {
  const question = at("question").value.trim();
  if (!question || running) return;
  running = new AbortController();
  at("trouble").textContent = "";
  at("state").textContent = say("works");
  shown = null;
  at("answered").hidden = at("found").hidden = true;
  at("stop").hidden = false;
  try {
    await way(question, running.signal);
    if (at("state").textContent === say("works")) at("state").textContent = "";
  } catch (error) {
    if (error.name === "AbortError") at("state").textContent = "";
    else trouble(error instanceof TypeError ? say("gone", error.message) : error.message);
  } finally {
    running = null;
    at("stop").hidden = true;
  }
}

at("enter").addEventListener("submit", (event) => { event.preventDefault(); token = at("token").value.trim(); at("token").value = ""; enter(); });
at("ask").addEventListener("submit", (event) => { event.preventDefault(); begin(event.submitter === at("search") || at("answer").hidden ? search : answer); });
at("stop").addEventListener("click", () => running && running.abort());
at("leave").addEventListener("click", leave);
at("tongue").addEventListener("change", () => { tongue = at("tongue").value; localStorage.setItem("tongue", tongue); speak(); });
speak();
enter();
