// Uses the knowledge base's page in a real browser, in both languages, as somebody with a keyboard and a screen reader's rules.
//
//   URL, TOKEN       where it is, and the caller's token
//   CHROMIUM         the browser's program
//   QUESTION, SEEN   what is asked, and a word that one of its sources has
//   ASK              set where a model answers, too
//   PICTURES         a directory for pictures of what was seen
//
// Prints one line of JSON: by language what the page said, and what axe found. Fails where the page cannot be used.

import assert from "node:assert/strict";
import axe from "axe-core";
import puppeteer from "puppeteer-core";

const { URL: address, TOKEN, CHROMIUM, QUESTION, SEEN, ASK, PICTURES } = process.env;
const LANGUAGES = { "zh-CN": { lang: "zh-Hans", enter: "登录", none: "令牌无效" }, "en-US": { lang: "en", enter: "Sign in", none: "not known" } };
const PATIENCE = { timeout: 120_000, polling: 100 };

const browser = await puppeteer.launch({
  executablePath: CHROMIUM, timeout: PATIENCE.timeout, acceptInsecureCerts: true, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

async function found(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.target.join(" ")).join(", ")}`);
}

const text = (page, selector) => page.$eval(selector, (it) => it.textContent.trim());
const shown = (page, selector) => page.waitForFunction((it) => !document.querySelector(it).closest("[hidden]"), PATIENCE, selector);

async function use(language, { lang, enter, none }) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE.timeout); // where the library's own 30 s hold: a loaded machine takes longer to draw the page
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  // A refused token is a 401, which the console names as well.
  page.on("console", (it) => it.type() === "error" && !it.text().includes("401") && complaints.push(it.text()));
  await page.evaluateOnNewDocument((it) => Object.defineProperty(navigator, "language", { get: () => it }), language);
  await page.goto(address, { waitUntil: "load" });
  assert.equal(await page.$eval("html", (it) => it.lang), lang);
  assert.equal(await text(page, "#enter button"), enter);
  const violations = await found(page);

  // A keyboard is enough: the token field is reached by the tab key, and Enter sends.
  await page.type("#token", "no token");
  await page.keyboard.press("Enter");
  await page.waitForFunction((it) => document.querySelector("#trouble").textContent.includes(it), PATIENCE, none);
  await page.type("#token", TOKEN);
  await page.keyboard.press("Enter");
  await shown(page, "#question");
  assert.equal(await text(page, "#trouble"), "");

  await page.type("#question", QUESTION);
  await page.click("#search");
  await page.waitForFunction((it) => document.querySelector("#sources").textContent.includes(it), PATIENCE, SEEN);
  await page.click("#sources summary");
  const source = await text(page, "#sources .quote");
  assert.ok(source.length > 0);
  violations.push(...(await found(page)));
  if (PICTURES) await page.screenshot({ path: `${PICTURES}/search-${language}.png`, fullPage: true });

  let answer = "";
  if (ASK) {
    await page.click("#answer");
    await page.waitForFunction(() => document.querySelector("#text").textContent && document.querySelector("#stop").hidden, PATIENCE);
    assert.equal(await text(page, "#trouble"), "");
    answer = await text(page, "#text");
    assert.ok((await page.$$("#sources li")).length > 0);
    violations.push(...(await found(page)));
    if (PICTURES) await page.screenshot({ path: `${PICTURES}/answer-${language}.png`, fullPage: true });
  }

  // Another language says the same of what is there; whoever signs out leaves nothing behind.
  const other = lang === "en" ? "zh" : "en";
  const before = await text(page, "#sources-head");
  await page.select("#tongue", other);
  assert.notEqual(await text(page, "#sources-head"), before);
  assert.ok((await page.$$("#sources li")).length > 0);
  await page.click("#leave");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.equal(await page.evaluate(() => window.attacked), undefined); // what documents hold is text
  assert.equal((await page.$$eval("#found:not([hidden])", (it) => it.length)), 0);
  await context.close();
  return { violations, complaints, source: source.slice(0, 200), answer: answer.slice(0, 200) };
}

try {
  const said = {};
  for (const [language, words] of Object.entries(LANGUAGES)) said[language] = await use(language, words);
  console.log(JSON.stringify(said));
} finally {
  await browser.close();
}
