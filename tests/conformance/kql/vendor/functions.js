// The vendor's tables of functions, a line each: {kind, name, signatures: [[{kind, types, …}, …], …]}.
"use strict";
const { list, tell } = require("./language.js");

const { Aggregates, Functions, PlugIns, Symbols } = Kusto.Language;
const nameIn = (names, value) => Object.keys(names).find((name) => names[name] === value) ?? "";

function parameterOf(parameter) {
  return {
    kind: nameIn(Symbols.ParameterTypeKind, parameter.TypeKind),
    types: list(parameter.DeclaredTypes).map((type) => type.Name),
    argument: nameIn(Symbols.ArgumentKind, parameter.ArgumentKind),
    values: list(parameter.Values).map(String),
    least: parameter.MinOccurring,
    most: parameter.MaxOccurring,
  };
}

for (const [kind, table] of Object.entries({ scalar: Functions, aggregate: Aggregates, plugin: PlugIns })) {
  for (const symbol of list(table.All)) {
    const signatures = list(symbol.Signatures).map((signature) => list(signature.Parameters).map(parameterOf));
    tell({ kind, name: symbol.Name, signatures });
  }
}
