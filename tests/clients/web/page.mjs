// The main job in a browser's page; what comes of it is written into the page.

import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { mainJob } from "./job.mjs";

const baseUrl = `http://${location.search.slice(1)}`;
const outcome = document.querySelector("output");
try {
  await mainJob((token) => {
    const withToken = (next) => (request) => {
      if (token) request.header.set("authorization", `Bearer ${token}`);
      return next(request);
    };
    return createGrpcWebTransport({ baseUrl, interceptors: [withToken] });
  });
  outcome.textContent = "holds";
} catch (error) {
  outcome.textContent = `does not hold: ${error.message}`;
}
