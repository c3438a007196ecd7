// node-soap: node node_soap.js INPUT RESULTS WSDL CONNECTIONS. Prints how many records were delivered.
//
// As its documentation says: a client from the WSDL, `method`Async, and `forever` for connections that are kept alive.
"use strict";

const fs = require("fs");
const http = require("http");
const readline = require("readline");
const soap = require("soap");

async function main(input, results, wsdl, connections) {
  const client = await soap.createClientAsync(wsdl);
  const options = { forever: true, httpAgent: new http.Agent({ keepAlive: true, maxSockets: connections }) };
  const lines = readline.createInterface({ input: fs.createReadStream(input) })[Symbol.asyncIterator]();
  const out = fs.createWriteStream(results);
  let delivered = 0;

  async function work() {
    for (let next = await lines.next(); !next.done; next = await lines.next()) {
      const [answer] = await client.SetOutlookSyncRecordAsync({ Record: JSON.parse(next.value) }, options);
      out.write(JSON.stringify(answer.SetOutlookSyncRecordResult) + "\n");
      delivered += 1;
    }
  }

  await Promise.all(Array.from({ length: connections }, work));
  out.end(() => console.log(delivered));
}

const [input, results, wsdl, connections] = process.argv.slice(2);
main(input, results, wsdl, Number(connections)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
