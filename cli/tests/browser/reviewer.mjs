// What a reviewer does: take what waits, decide on five examples by keyboard, sign once.

import { attestune, browser, check, go, look, pairAndSignIn } from "./house.mjs";

const { context, page, troubles } = await browser();
try {
  await go(page, "/sign-in");
  await pairAndSignIn(page, "rita");
  await page.getByRole("link", { name: "Review" }).click();
  await look(page, "review");
  await page.getByRole("button", { name: "Take the next, and read them" }).click();
  await page.getByText("This read is on the record").waitFor();
  const items = page.locator("article.item");
  check((await items.count()) === 5, `five wait: ${await items.count()}`);
  await look(page, "desk");
  check((await page.locator("article.item img").count()) === 0, "hostile text is inert");
  check(await page.getByText("U+202E").first().isVisible(), "a mark that turns text is visible");

  // From here on no mouse: approve, no personal data, reject, redact with more words, redact.
  const begun = Date.now();
  for (const key of ["a", "n", "r"]) await page.keyboard.press(key);
  await page.keyboard.press("m");
  await page.keyboard.type("blue desk");
  await page.keyboard.press("Escape");
  await page.keyboard.press("x");
  await page.keyboard.press("x");
  const took = Date.now() - begun;
  await page.getByText("5 of 5 decided").waitFor();
  await look(page, "decided");
  await page.keyboard.press("u");
  await page.getByText("4 of 5 decided").waitFor();
  await page.keyboard.press("x");
  await page.keyboard.press("s");
  await page.getByText("signed, at position").waitFor();
  await look(page, "signed");
  const events = (await attestune("history", "--kind", "examples-reviewed", "--json")).trim().split("\n");
  check(events.length === 1, `several decisions in one signature: ${events.length}`);
  console.log(JSON.stringify({ took_ms: took }));
  check(troubles.length === 0, `the browser complains: ${troubles.join("; ")}`);
} catch (error) {
  await page.screenshot({ path: `${process.env.SHOTS}/failed.png`, fullPage: true });
  throw new Error(`${error.message}\nat ${page.url()}\n${troubles.join("\n")}`, { cause: error });
} finally {
  await context.close();
}
