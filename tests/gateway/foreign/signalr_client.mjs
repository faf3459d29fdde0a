// @microsoft/signalr (npm) at the market hub: writes each event it is called with as a line of JSON, until it had enough.
import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";

const [modules, url, user, key, contract, count, path] = process.argv.slice(2);
const { HubConnectionBuilder, HttpTransportType, LogLevel } = createRequire(`${modules}/`)("@microsoft/signalr");
const login = await fetch(`${url}/api/Auth/loginKey`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ userName: user, apiKey: key }),
});
const { token } = await login.json();
const skip = process.env.SKIP_NEGOTIATION === "1";
const options = { accessTokenFactory: () => token, skipNegotiation: skip };
if (skip) options.transport = HttpTransportType.WebSockets;
const hub = new HubConnectionBuilder().withUrl(`${url}/hubs/market`, options).configureLogging(LogLevel.Error).build();
const heard = [];
const done = new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error(`only ${heard.length}`)), 60000).unref();
  for (const name of ["GatewayQuote", "GatewayTrade", "GatewayDepth"])
    hub.on(name, (...args) => {
      heard.push(JSON.stringify([name, ...args]));
      if (heard.length >= Number(count)) resolve();
    });
});
await hub.start();
for (const what of ["Quotes", "Trades", "MarketDepth"]) await hub.invoke(`SubscribeContract${what}`, contract);
let refused = "";
await hub.invoke("SubscribeNews", contract).catch((error) => (refused = error.message));
if (!refused.includes("Method does not exist")) throw new Error(`no refusal: ${refused}`);
await done;
await hub.stop();
writeFileSync(path, heard.join("\n"));
