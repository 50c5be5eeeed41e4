// A Chromium with the viewer's page, and what the tests do to it.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const PAGE = pathToFileURL(join(ROOT, "src/cmodel/view/viewer.html")).href;
export const DESKTOP = { width: 1280, height: 900 };
export const PHONE = { width: 375, height: 812 };

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** A browser of its own, with a folder of its own. */
export async function startBrowser(executablePath) {
  const folder = mkdtempSync(join(tmpdir(), "cmodel-viewer-"));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath, headless: true, args: FLAGS, viewport: DESKTOP,
  });
  const stop = async () => {
    await context.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  return { context, stop };
}

/** A page; `complaints` has what its console and its errors said, `requests` what it asked for. */
export async function openPage(context, { size = DESKTOP, dark = false, address = PAGE, before } = {}) {
  const page = await context.newPage();
  const told = { complaints: [], requests: [] };
  page.on("console", (message) => told.complaints.push(message.text()));
  page.on("pageerror", (error) => told.complaints.push(String(error)));
  page.on("request", (request) => told.requests.push(request.url()));
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
  if (before) await page.addInitScript(before);
  await page.goto(address);
  return { page, ...told };
}

/** Drop a file on the page, as a hand would. */
export async function drop(page, path, { name = path.split("/").at(-1), type = "" } = {}) {
  const data = await page.evaluateHandle(([text, title, kind]) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], title, { type: kind }));
    return transfer;
  }, [readFileSync(path).toString("base64"), name, type]);
  await page.dispatchEvent("body", "dragover", { dataTransfer: data });
  await page.dispatchEvent("body", "drop", { dataTransfer: data });
}

/** Wait until every tensor has been checked, and return what is said of it. */
export async function checked(page) {
  const place = page.locator(".tile span span").first();
  await place.filter({ hasText: /intact|damaged/ }).waitFor({ timeout: 60000 });
  return place.innerText();
}

/** The scores that the page shows, in the order of the classes. */
export async function scoresOf(page, act) {
  await page.evaluate(() => document.querySelector(".best")?.setAttribute("data-old", ""));
  await act();
  const list = page.locator(".best:not([data-old])");
  await list.waitFor({ timeout: 60000 });
  return (await list.getAttribute("data-scores")).split(" ").map(Number);
}

/** Texts whose contrast with their ground is below 4.5 (3 for large ones): WCAG 2.1, 1.4.3. */
export function lowContrast(page) {
  return page.evaluate(() => {
    const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
    const luminance = (colour) => {
      const [r, g, b] = numbers(colour).map((v) => {
        const c = v / 255;
        return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const groundOf = (element) => {
      for (let e = element; e; e = e.parentElement) {
        const colour = getComputedStyle(e).backgroundColor;
        if ((numbers(colour)[3] ?? 1) === 1) return colour;
      }
      return "rgb(255, 255, 255)";
    };
    const low = [];
    for (const element of document.querySelectorAll("body *")) {
      const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
      if (!own || element.closest("script,style,noscript,svg,.hidden,.skip,[hidden]")) continue;
      if (!element.checkVisibility()) continue;
      const style = getComputedStyle(element);
      const [a, b] = [luminance(style.color), luminance(groundOf(element))].sort((x, y) => y - x);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const contrast = (a + 0.05) / (b + 0.05);
      if (contrast < (large ? 3 : 4.5)) low.push(`${element.textContent.slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return low;
  });
}
