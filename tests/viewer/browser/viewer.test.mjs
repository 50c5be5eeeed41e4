// The viewer's page in a headless Chromium. FILES is the folder that make_files.py has filled,
// CHROMIUM the browser, PYTHON an interpreter that has cmodel.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { DESKTOP, PAGE, PHONE, ROOT, checked, drop, lowContrast, openPage, scoresOf, startBrowser } from "./pages.mjs";

const { FILES, CHROMIUM, PYTHON } = process.env;
const file = (name) => join(FILES, name);
const expected = JSON.parse(readFileSync(file("expected.json")));
let browser;
before(async () => { browser = await startBrowser(CHROMIUM); });
after(() => browser.stop());

/** A test with a page of its own, which must not complain, nor ask for anything but itself. */
function pageTest(name, options, body, { quiet = true } = {}) {
  test(name, { timeout: 180000 }, async () => {
    const { page, complaints, requests } = await openPage(browser.context, options);
    try {
      await body(page);
      if (quiet) assert.deepEqual(complaints, []);
      const foreign = requests.filter((url) => url !== PAGE && !/^(blob|data):/.test(url));
      assert.deepEqual(foreign, []);
    } finally {
      await page.close();
    }
  });
}

const close = (found, wanted) => {
  assert.equal(found.length, wanted.length);
  found.forEach((v, i) => assert.ok(Math.abs(v - wanted[i]) < 1e-4, `${i}: ${v} instead of ${wanted[i]}`));
};

pageTest("a file that is dropped is shown and checked", {}, async (page) => {
  await drop(page, file("lenet.cmodel"));
  assert.equal(await checked(page), "✓ intact: every CRC of 8 tensors");
  assert.equal(await page.title(), "lenet.cmodel – cmodel view");
  assert.match(await page.locator("main h1").innerText(), /^lenet-fashion/);
  const size = readFileSync(file("lenet.cmodel")).length;
  assert.equal(await page.locator(".tile b").first().innerText(), `${(size / 1000).toFixed(1)} KB`);
  const about = await page.locator("#about").innerText();
  for (const text of ["multiply by 0.00390625", "10 names", "deep-compression", "manifest"]) assert.ok(about.includes(text), text);
});

pageTest("layers are inspected by mouse and by keys", {}, async (page) => {
  await drop(page, file("lenet.cmodel"));
  await checked(page);
  await page.locator(".box", { hasText: "conv1" }).first().click();
  const detail = page.locator("#detail");
  assert.match(await detail.innerText(), /conv1.*20 × 1 × 5 × 5.*✓ intact/s);
  assert.ok((await detail.locator(".centroid circle, .centroid line").count()) > 2);
  assert.equal(await detail.locator("canvas.tiles-map").count(), 1);
  const inked = (kind) => detail.locator(kind).first().evaluate((canvas) =>
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v > 0));
  assert.ok(await inked("canvas.tiles-map"));
  await page.keyboard.press("ArrowDown");
  assert.match(await detail.innerText(), /^pool1/);
  assert.match(await page.locator(".box:focus").getAttribute("aria-label"), /Pooling pool1/);
  await page.keyboard.press("End");
  assert.match(await detail.innerText(), /^prob/);
  assert.equal(await page.locator('.box[aria-selected="true"]').count(), 1);
  await page.locator("#bytes button", { hasText: "ip2" }).click();
  assert.match(await detail.innerText(), /^ip2/);
  assert.ok(await inked("canvas.map"));
});

pageTest("pictures get the scores that the engine gives", {}, async (page) => {
  await drop(page, file("lenet.cmodel"));
  for (const [name, scores] of Object.entries(expected.lenet)) {
    close(await scoresOf(page, () => page.setInputFiles("#picture", file(name))), scores);
    const best = scores.indexOf(Math.max(...scores));
    assert.match(await page.locator(".best li").first().innerText(), new RegExp(`^${expected.labels[best]}`));
  }
  // What a layer gave is shown too.
  await page.locator(".box", { hasText: "conv2" }).first().click();
  await page.locator("#detail .outputs canvas").waitFor();
});

pageTest("a colour picture is resized, cropped and scaled as the file says", {}, async (page) => {
  await page.setInputFiles("#file", file("colour.cmodel"));
  await page.locator("#board").waitFor();
  const scores = await scoresOf(page, () => drop(page, file("photo.png"), { type: "image/png" }));
  close(scores, expected.colour["photo.png"]);
});

pageTest("what is drawn is answered", {}, async (page) => {
  await drop(page, file("lenet.cmodel"));
  const board = await page.locator("#board").boundingBox();
  const scores = await scoresOf(page, async () => {
    await page.mouse.move(board.x + 90, board.y + 40);
    await page.mouse.down();
    for (const [x, y] of [[90, 240], [130, 240], [140, 100], [150, 240], [190, 240], [190, 40], [90, 40]]) {
      await page.mouse.move(board.x + x, board.y + y, { steps: 4 });
    }
    await page.mouse.up();
  });
  assert.ok(Math.abs(scores.reduce((a, b) => a + b, 0) - 1) < 1e-5);
  await page.getByRole("button", { name: "Clear" }).click();
  assert.equal(await page.locator(".best").count(), 0);
});

pageTest("without a worker the page does all of it itself", { before: "delete window.Worker" }, async (page) => {
  await drop(page, file("lenet.cmodel"));
  assert.match(await checked(page), /intact/);
  const [name, scores] = Object.entries(expected.lenet)[0];
  close(await scoresOf(page, () => page.setInputFiles("#picture", file(name))), scores);
});

pageTest("a damaged file is shown as far as it goes", {}, async (page) => {
  await drop(page, file("damaged.cmodel"));
  assert.match(await checked(page), /^✕ damaged: \d of 8 tensors/);
  assert.match(await page.locator(".damage").innerText(), /checksum: .*is damaged/s);
  assert.equal(await page.locator(".box").count(), 8);
  await page.setInputFiles("#picture", file("gray0.png"));
  await page.locator(".answer .bad").waitFor();
});

for (const [name, error] of [["short.cmodel", "truncated"], ["no.cmodel", "bad-signature"]]) {
  pageTest(`${name} is refused: ${error}`, {}, async (page) => {
    await drop(page, file(name));
    await page.locator(".refused").waitFor();
    assert.match(await page.locator(".refused").innerText(), new RegExp(`${name}.*${error}: `, "s"));
    await drop(page, file("lenet.cmodel"));
    assert.match(await checked(page), /intact/);
  });
}

pageTest("names are texts, and a layer that is not known is named", {}, async (page) => {
  await drop(page, file("odd.cmodel"), { name: "<img src=x onerror=document.title='taken'>.cmodel" });
  assert.match(await checked(page), /intact/);
  assert.match(await page.title(), /^<img src=x/);
  assert.equal(await page.locator("main img, main b > b, script").count(), 1); // the page's own script
  assert.match(await page.locator("#run").innerText(), /strange \(MyOwnLayer\): this type of layer is not known/);
  await page.locator(".box", { hasText: "<b>bold</b>" }).first().click();
  assert.match(await page.locator("#detail").innerText(), /<b>bold<\/b>.*1 × 4 × 18 × 18/s);
  for (const [name, what] of [["constructor", /output\s+1 × 4 × 9 × 9/], ["__proto__", /output\s+1 × 8 × 9 × 9/]]) {
    await page.locator(".box", { hasText: name }).first().click();
    assert.match(await page.locator("#detail").innerText(), what);
  }
  await page.locator("#about summary").first().click();
  assert.match(await page.locator("#about").innerText(), /<script>document.title='taken'<\/script>/);
});

for (const [size, sizeName] of [[PHONE, "a phone"], [DESKTOP, "a desk"]]) {
  for (const dark of [false, true]) {
    pageTest(`it fits ${sizeName} and can be read, ${dark ? "dark" : "light"}`, { size, dark }, async (page) => {
      const fits = async () => {
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), size.width);
        assert.deepEqual(await lowContrast(page), []);
      };
      await fits();
      await drop(page, file("lenet.cmodel"));
      await checked(page);
      await scoresOf(page, () => page.setInputFiles("#picture", file("gray1.png")));
      await fits();
      await drop(page, file("odd.cmodel"), { name: `${"long".repeat(50)}.cmodel` });
      await checked(page);
      await fits();
      const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, canvas, [role=img], [role=option]")]
        .filter((e) => !(e.getAttribute("aria-label") ?? e.textContent).trim()).map((e) => e.outerHTML));
      assert.deepEqual(nameless, []);
    });
  }
}

pageTest("it prints", { dark: true }, async (page) => {
  await drop(page, file("lenet.cmodel"));
  await checked(page);
  const pdf = await page.pdf();
  assert.equal(pdf.subarray(0, 5).toString(), "%PDF-");
  assert.ok(pdf.length > 20000);
});

test("cmodel view serves the page and the file", { timeout: 120000 }, async () => {
  const server = spawn(PYTHON, ["-m", "cmodel", "view", file("lenet.cmodel"), "--no-open"], {
    cwd: ROOT, env: { ...process.env, PYTHONPATH: join(ROOT, "src"), PYTHONUNBUFFERED: "1" },
  });
  try {
    let text = "";
    for await (const part of server.stdout) {
      text += part;
      if (text.includes("\n")) break;
    }
    const [address] = text.split("\n");
    const { page, complaints, requests } = await openPage(browser.context, { address });
    assert.equal(await checked(page), "✓ intact: every CRC of 8 tensors");
    assert.equal(await page.title(), "lenet.cmodel – cmodel view");
    assert.deepEqual(complaints, []);
    assert.deepEqual(requests.filter((url) => !url.startsWith("blob:")), [address, `${address}model`]);
    const [name, scores] = Object.entries(expected.lenet)[0];
    close(await scoresOf(page, () => page.setInputFiles("#picture", file(name))), scores);
    // The policy lets it speak with nobody else.
    const blocked = await page.evaluate(() => fetch("http://127.0.0.1:9/").then(() => "sent", (error) => error.name));
    assert.equal(blocked, "TypeError");
    assert.match(complaints.join("\n"), /Content Security Policy/);
    await page.close();
  } finally {
    server.kill("SIGINT");
  }
  const status = await new Promise((resolve) => server.on("exit", resolve));
  assert.equal(status, 0);
});

pageTest("the page from a disk speaks with nobody", {}, async (page) => {
  const sent = await page.evaluate(() => fetch("http://127.0.0.1:9/").then(() => "sent", (error) => error.name));
  assert.equal(sent, "TypeError");
}, { quiet: false });
