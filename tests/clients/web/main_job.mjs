// The main job as a foreign client does it in JavaScript over gRPC-Web, knowing nothing of Respite but `proto/`.
//
//     run ADDRESS [ORIGIN]     for a plain-text server at host:port whose directory holds a verified therapist for
//                              burnout who speaks German
//
// With an ORIGIN such as http://127.0.0.1:8180, which the server must allow, Chromium does it once more in a page
// served there, and a page from anywhere else must fail. Exits with 1 and a sentence if anything does not hold.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

import { createGrpcWebTransport } from "@connectrpc/connect-node";
import { chromium } from "playwright-core";

import { mainJob } from "./job.mjs";

const CHROMIUM = "/usr/bin/chromium";

async function inNode(address) {
  await mainJob((token) => {
    const withToken = (next) => (request) => {
      if (token) request.header.set("authorization", `Bearer ${token}`);
      return next(request);
    };
    return createGrpcWebTransport({ baseUrl: `http://${address}`, httpVersion: "1.1", interceptors: [withToken] });
  });
}

/** What a page of `origin` says after doing the main job; port 0 is any that is free. */
async function inChromium(address, origin) {
  const script = await readFile(new URL("./page.js", import.meta.url));
  const server = createServer((request, response) => {
    const [type, body] = request.url === "/page.js" ? ["text/javascript", script] : ["text/html", PAGE];
    response.setHeader("content-type", type).end(body);
  });
  const { hostname, port } = new URL(origin);
  await new Promise((resolve, reject) => server.once("error", reject).listen(port, hostname, resolve));
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
  try {
    const page = await browser.newPage();
    await page.goto(`http://${hostname}:${server.address().port}/?${address}`);
    const outcome = page.locator("output:not(:empty)");
    return await outcome.textContent({ timeout: 60_000 });
  } finally {
    await browser.close();
    server.close();
  }
}

const PAGE = '<!doctype html><title>job</title><output></output><script type="module" src="/page.js"></script>';
const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run"].concat(
  "--disable-background-networking",
  "--disable-component-update",
);

const [address, origin] = process.argv.slice(2);
try {
  await inNode(address);
  console.log("web: the main job holds over gRPC-Web in Node.js");
  if (origin) {
    const outcome = await inChromium(address, origin);
    if (outcome !== "holds") throw new Error(`in Chromium: ${outcome}`);
    console.log("web: the main job holds over gRPC-Web in Chromium");
    const foreign = await inChromium(address, "http://127.0.0.1:0");
    if (!foreign.includes("Failed to fetch")) throw new Error(`a page of another origin gets through: ${foreign}`);
    console.log("web: a page of another origin does not get through");
  }
} catch (error) {
  console.error(`web: ${error.message}`);
  process.exit(1);
}
