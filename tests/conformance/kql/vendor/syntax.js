// Diagnostics of syntax of each text, as [[code, start, length, message], …].
"use strict";
const { answerEach, list } = require("./language.js");

answerEach((code) =>
  list(code.GetSyntaxDiagnostics()).map((item) => [item.Code, item.Start, item.Length, item.Message]),
);
