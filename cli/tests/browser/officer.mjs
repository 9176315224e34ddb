// What a compliance officer does: sign in, look at the past, walk a version back to the row it came from, approve.

import { execFileSync } from "node:child_process";
import { attestune, browser, check, go, look, pairAndSignIn } from "./house.mjs";

const { BUNDLE, PAST, PROMOTION } = process.env;

const { context, page, troubles } = await browser();
try {
  await go(page, "/models/triage");
  check(page.url().includes("/sign-in?next="), "a stranger is sent to sign in");
  await look(page, "sign-in");
  await pairAndSignIn(page, "omar");
  check((await context.cookies()).every((cookie) => cookie.httpOnly && cookie.sameSite === "Strict"), "the cookie is closed");
  const exported = await page.evaluate(async () => {
    const database = await new Promise((resolve) => {
      const request = indexedDB.open("attestune", 1);
      request.onsuccess = () => resolve(request.result);
    });
    const all = await new Promise((resolve) => {
      const request = database.transaction("keys").objectStore("keys").getAll();
      request.onsuccess = () => resolve(request.result);
    });
    return crypto.subtle.exportKey("pkcs8", all[0].privateKey).then(() => "exported", (error) => error.name);
  });
  check(exported === "InvalidAccessError", `the key can't be exported: ${exported}`);
  await look(page, "models");

  // The past, by position and by time: every page moves, and says so.
  await page.getByLabel("or position").fill(PAST);
  await page.getByRole("button", { name: "Go there" }).click();
  await page.getByText("The past:").waitFor();
  check(await page.getByText("No model had been trained").isVisible(), "no model was there yet");
  await page.getByRole("link", { name: "Data" }).click();
  check(page.url().endsWith(`at=${PAST}`), "the moment goes along");
  await page.getByText("Nothing had been frozen").waitFor();
  await page.getByRole("link", { name: "now", exact: true }).click();
  await page.getByRole("link", { name: "triage@1" }).waitFor();
  await go(page, "/?at=2031-01-01");
  await page.getByText("lies in the future").waitFor();
  await go(page, "/?at=1999-12-31T00:00");
  await page.getByText("is before the ledger").waitFor();
  await go(page, "/?at=soon");
  await page.getByText("is no moment").waitFor();

  // From the version back to the row of the file it came from.
  await go(page, "/models/triage/1");
  await look(page, "version");
  await page.getByRole("link", { name: "Its lineage, both ways" }).click();
  await look(page, "lineage");
  for (const kind of ["run", "dataset", "examples"]) {
    const source = page.locator("section[aria-label='Made from'] li").filter({ hasText: new RegExp(`^${kind} `) });
    await source.first().getByRole("link", { name: /^lineage of/ }).click();
    await page.getByText(new RegExp(`^${kind} @\\d+: its page`)).waitFor();
  }
  await page.getByRole("link", { name: "its page" }).click();
  await page.getByRole("row").filter({ hasText: "/0" }).getByRole("link", { name: /^\d+\/0$/ }).click();
  await look(page, "example");
  await page.getByRole("button", { name: "Show the text" }).click();
  await page.getByText("This read is on the record").waitFor();
  await look(page, "example-text");
  await page.getByRole("link", { name: /^document / }).click();
  await page.getByRole("button", { name: "Show the text" }).click();
  check(await page.getByText("lost my card").first().isVisible(), "the source row");
  // Hostile text is inert and visible.
  await look(page, "document");
  const accesses = await attestune("history", "--kind", "content-accessed", "--json");
  check(accesses.split("\n").filter((line) => line.includes('"omar"')).length >= 2, "the reads are on the record");

  for (const path of ["/timeline?kind=dataset-frozen", "/datasets", "/runs", "/suites", "/promotions", "/people", "/policy", "/health", "/events/5"]) {
    await go(page, path);
    await look(page, path.split(/[/?]/)[1]);
  }
  await go(page, "/runs");
  await page.getByRole("row").nth(1).getByRole("link", { name: /^run / }).click();
  await page.getByRole("img", { name: /^Loss by step/ }).waitFor();
  await look(page, "run");
  await page.setViewportSize({ width: 400, height: 800 });
  for (const [path, name] of [["/models/triage/1", "narrow-version"], ["/timeline", "narrow-timeline"], [`/promotions/${PROMOTION}`, "narrow-promotion"]]) {
    await go(page, path);
    await look(page, name);
  }
  await page.setViewportSize({ width: 1100, height: 800 });

  // The approval, and the same officer's second one, which is refused with its reason.
  await go(page, `/promotions/${PROMOTION}`);
  await page.getByRole("button", { name: "Sign the approval" }).click();
  await page.getByText("1 of 2 approvals").waitFor();
  await look(page, "approved");
  await page.getByRole("button", { name: "Sign the approval" }).click();
  await page.getByRole("alert").filter({ hasText: "approved-before" }).waitFor();
  await look(page, "refused");
  // Another officer's approval brings it into force: its page says why, with each printed name.
  await attestune("promote", "approve", "triage@1", "--as", "pia");
  await go(page, "/models/triage");
  await page.getByText("is in force.").first().waitFor();
  for (const name of ["omar", "pia"]) await page.getByRole("row").filter({ hasText: `${name} (${name})` }).first().waitFor();
  await look(page, "in-force");

  // What is missing, and an alert that is acknowledged.
  await page.getByRole("link", { name: "Gaps" }).click();
  await look(page, "gaps");
  await page.getByLabel("What is done").selectOption("2");
  await page.getByRole("button", { name: "Acknowledge" }).click();
  await page.getByText("✓ false alarm").waitFor();
  await look(page, "acknowledged");

  // Clauses: from a gap or an answer to the event behind it.
  await page.getByRole("link", { name: "Compliance" }).click();
  await look(page, "compliance");
  await page.getByRole("link", { name: /21 CFR/ }).click();
  await page.getByRole("link", { name: "11.10(e)" }).click();
  check(new URL(page.url()).hash.startsWith("#clause-"), "the clause is linked");
  await look(page, "clauses");
  await page.locator("section[aria-label='11.10(e)'] a.position").first().click();
  await page.getByRole("heading", { name: "What was signed" }).waitFor();

  // Evidence: what a slice discloses is shown, signed for, taken out, and verifies without any server.
  await go(page, "/models/triage");
  await page.getByRole("button", { name: "Show what it discloses" }).click();
  await page.getByRole("button", { name: "Sign for it, and take it out" }).waitFor();
  check((await page.locator(".disclosed li").count()) > 10, "what it discloses is listed");
  await look(page, "evidence");
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Sign for it, and take it out" }).click();
  await (await download).saveAs(BUNDLE);
  const { ledger } = await page.evaluate(() => ({ ...document.body.dataset }));
  const said = await attestune("verify", BUNDLE, "--ledger", ledger);
  check(said.includes("proven"), `the bundle verifies: ${said}`);
  const other = await attestune("verify", BUNDLE, "--ledger", "00".repeat(32)).then(() => "verified", (error) => String(error));
  check(other !== "verified", "it is of this ledger and of no other");

  // The bundle's own page checks it in the browser, without network.
  const unpacked = `${BUNDLE}.d`;
  execFileSync("python3", ["-m", "zipfile", "-e", BUNDLE, unpacked]);
  const alone = await context.newPage();
  await alone.goto(`file://${unpacked}/check.html`);
  await context.setOffline(true);
  await alone.getByLabel("The bundle").setInputFiles(BUNDLE);
  await alone.getByLabel("The ledger").fill(ledger);
  await alone.getByRole("button", { name: "Check" }).click();
  await alone.getByRole("heading", { name: "✓ It verifies" }).waitFor();
  await look(alone, "self-check");
  await alone.getByLabel("The ledger").fill("00".repeat(32));
  await alone.getByRole("button", { name: "Check" }).click();
  await alone.getByRole("heading", { name: "✗ It does not verify" }).waitFor();
  await context.setOffline(false);
  await alone.close();

  // On paper the ways round and the forms are gone, what is said stays.
  await go(page, "/models/triage/1");
  await page.emulateMedia({ media: "print" });
  check(!(await page.getByRole("navigation").isVisible()), "no ways round on paper");
  check(await page.getByRole("heading", { name: "triage@1" }).isVisible(), "the version on paper");
  await page.screenshot({ path: `${process.env.SHOTS}/print-version.png`, fullPage: true });
  await page.emulateMedia({ media: "screen", colorScheme: "dark" });
  await look(page, "dark-version");
  await page.emulateMedia({ colorScheme: "light" });
  check(troubles.every((trouble) => trouble.includes("400 (Bad Request)")), `the browser complains: ${troubles.join("; ")}`);

  await page.getByRole("button", { name: "Sign out" }).click();
  await go(page, "/");
  check(page.url().includes("/sign-in"), "signed out");
} catch (error) {
  await page.screenshot({ path: `${process.env.SHOTS}/failed.png`, fullPage: true });
  throw new Error(`${error.message}\nat ${page.url()}\n${troubles.join("\n")}`, { cause: error });
} finally {
  await context.close();
}
