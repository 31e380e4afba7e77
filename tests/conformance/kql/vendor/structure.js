// Each text with brackets around every operation, and no others: how the vendor's parser groups it.
"use strict";
const { answerEach } = require("./language.js");

const Syntax = Kusto.Language.Syntax;
const operations = ["BinaryExpression", "InExpression", "HasAnyExpression", "HasAllExpression", "BetweenExpression",
  "PrefixUnaryExpression"].map((name) => Syntax[name]);

function show(part) {
  if (part === null) return "";
  if (part instanceof Syntax.SyntaxToken) return part.Text + " ";
  if (part instanceof Syntax.ParenthesizedExpression) return show(part.Expression);
  let text = "";
  for (let index = 0; index < part.ChildCount; index++) text += show(part.GetChild(index));
  return operations.some((operation) => part instanceof operation) ? `( ${text})` : text;
}

answerEach((code) => show(code.Syntax));
