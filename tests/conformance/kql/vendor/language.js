// The vendor's language service. The package is a pair of browser scripts that meet in the global scope; the folder
// with node_modules is the program's argument.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const folder = path.join(process.argv[2], "node_modules", "@kusto", "language-service-next");
for (const name of ["bridge.min.js", "Kusto.Language.Bridge.min.js"]) {
  vm.runInThisContext(fs.readFileSync(path.join(folder, name), "utf8"), { filename: name });
}

// Reads texts, one JSON string a line, and answers each with a line of JSON.
exports.answerEach = (answer) => {
  for (const line of fs.readFileSync(0, "utf8").split("\n")) {
    if (line !== "") exports.tell(answer(Kusto.Language.KustoCode.Parse(JSON.parse(line))));
  }
};
exports.tell = (answer) => console.log(JSON.stringify(answer));
exports.list = (items) => System.Linq.Enumerable.from(items).ToArray();
