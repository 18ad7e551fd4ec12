/**
 * Asks the service in this container whether it can do its work, and ends with 0 where it can. What it says is shown by
 * `docker inspect`. Its own program, because the image has no curl.
 */
const { get } = require("node:http");

const answer_wait_ms = 4_000;
const port = process.env.ASSAY_METRICS_PORT || "9464";

const request = get({ host: "127.0.0.1", port, path: "/ready", timeout: answer_wait_ms }, (response) => {
  response.setEncoding("utf8");
  let body = "";
  response.on("data", (chunk) => {
    body += chunk;
  });
  response.on("end", () => end(response.statusCode === 200, body.trim()));
});
request.on("timeout", () => request.destroy(new Error(`no answer within ${answer_wait_ms} ms`)));
request.on("error", (error) => end(false, `port ${port}: ${error.message}`));

function end(ready, said) {
  process.stdout.write(`${said}\n`);
  process.exitCode = ready ? 0 : 1;
}
