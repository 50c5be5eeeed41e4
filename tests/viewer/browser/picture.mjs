// Takes a picture of the page for docs/pictures:
//   CHROMIUM=/usr/bin/chromium node picture.mjs MODEL PICTURE OUT.png WIDTH HEIGHT [light|dark] [LAYER] [SECTION]
// MODEL is opened and PICTURE classified; LAYER is chosen in the graph, SECTION is scrolled to.

import { checked, drop, openPage, scoresOf, startBrowser } from "./pages.mjs";

const [model, picture, out, width, height, theme = "light", layer, place] = process.argv.slice(2);
const { context, stop } = await startBrowser(process.env.CHROMIUM);
const size = { width: Number(width), height: Number(height) };
const { page } = await openPage(context, { size, dark: theme === "dark" });
await drop(page, model);
await checked(page);
await scoresOf(page, () => page.setInputFiles("#picture", picture));
if (layer) await page.locator("#bytes button", { hasText: layer }).first().click();
if (layer) await page.locator("#detail .outputs").first().waitFor();
await page.evaluate((id) => {
  if (id) document.getElementById(id).scrollIntoView();
  else scrollTo(0, 0);
}, place);
await page.screenshot({ path: out });
await stop();
