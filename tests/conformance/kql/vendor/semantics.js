// What the vendor's binder says of each text, given tables (the program's second argument, {name: {column: type}}):
// {problems: [[code, start, length, message], …], columns: [[name, type], …] or null, open: whether there may be more}.
"use strict";
const { answerEach, list } = require("./language.js");

const { GlobalState, Symbols } = Kusto.Language;
const tables = Object.entries(JSON.parse(process.argv[3])).map(([name, columns]) => {
  const fields = Object.entries(columns).map(([column, type]) => `['${column}']: ${type}`);
  return new Symbols.TableSymbol.$ctor7(name, `(${fields.join(", ")})`, null);
});
const database = new Symbols.DatabaseSymbol.ctor("database", tables);
const cluster = new Symbols.ClusterSymbol.ctor("cluster", [database]);
const globals = GlobalState.Default.WithCluster(cluster).WithDatabase(database);

answerEach((code) => {
  const analyzed = code.Analyze(globals);
  const problems = list(analyzed.GetDiagnostics()).filter((item) => item.Severity === "Error");
  const result = analyzed.ResultType;
  const isTable = result instanceof Symbols.TableSymbol;
  return {
    problems: problems.map((item) => [item.Code, item.Start, item.Length, item.Message]),
    columns: isTable ? list(result.Columns).map((column) => [column.Name, column.Type.Name]) : null,
    open: isTable && result.IsOpen,
  };
});
