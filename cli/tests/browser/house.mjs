// A browser on the pages of a running ledger: Debian's Chromium, driven by playwright-core, judged by axe-core.

import { execFile, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const { ATTESTUNE, BASE, CHROMIUM, MODULES, PROFILE, SHOTS } = process.env;
const require = createRequire(join(MODULES, "from-here.js"));
const { chromium } = require("playwright-core");
const axe = require("axe-core").source;

/** How long anything may take on a busy machine, ms. */
const PATIENCE = 120_000;

/** Rules whose breach no page may have: axe's serious and critical ones. */
const SERIOUS = ["serious", "critical"];

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

/** Runs a command of attestune; answers stdout. */
export function attestune(...args) {
  return new Promise((resolve, reject) => {
    execFile(ATTESTUNE, args, (error, stdout, stderr) => (error ? reject(new Error(stderr)) : resolve(stdout)));
  });
}

/** A browser with a profile of its own. */
export async function browser() {
  mkdirSync(SHOTS, { recursive: true });
  const context = await chromium.launchPersistentContext(PROFILE, {
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    viewport: { width: 1100, height: 800 },
  });
  context.setDefaultTimeout(PATIENCE);
  context.setDefaultNavigationTimeout(PATIENCE);
  const page = context.pages()[0];
  const troubles = [];
  // A refused script or style, and whatever asks another host, is a fault of ours.
  page.on("console", (message) => message.type() === "error" && troubles.push(message.text()));
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("request", (request) => request.url().startsWith(BASE) || troubles.push(`a request to ${request.url()}`));
  return { context, page, troubles };
}

export const go = (page, path) => page.goto(BASE + path);

/** Takes a picture into the build folder, and lets axe judge the page. */
export async function look(page, name) {
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter((violation) => SERIOUS.includes(violation.impact));
  const told = serious.map((v) => `${v.id}: ${v.help} (${v.nodes.map((node) => node.target).join(", ")})`);
  check(told.length === 0, `${name}: ${told.join("; ")}`);
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  check(!sideways, `${name} scrolls sideways`);
}

/** Pairs the browser with an actor by a code of the command line, and signs in. */
export async function pairAndSignIn(page, actor) {
  const pairing = spawn(ATTESTUNE, ["key", "pair", "--as", actor, "--yes"], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => pairing.on("exit", resolve));
  const lines = createInterface({ input: pairing.stdout })[Symbol.asyncIterator]();
  const code = (await lines.next()).value;
  await go(page, "/pair");
  await page.getByLabel("Code").fill(code.toLowerCase());
  await page.getByRole("button", { name: "Pair" }).click();
  await page.waitForURL(`${BASE}/sign-in`);
  check((await ended) === 0, "the key is registered");
  await page.getByRole("button", { name: `Sign in as ${actor}` }).click();
  await page.getByRole("heading", { name: "Models" }).waitFor();
}
