/**
 * The Kusto Query Language in Monaco: completion, hover, colours and formatting of the vendor's language service, over
 * our tables. What is wrong with a query is said by our own compiler alone, which runs it.
 */

import LanguageWorker from "@kusto/monaco-kusto/release/esm/kusto.worker?worker";
import * as features from "@kusto/monaco-kusto/release/esm/languageFeatures";
import { KustoLanguageDefinition } from "@kusto/monaco-kusto/release/esm/languageServiceManager/kustoMonarchLanguageDefinition";
import {
  getEntityDataTypeFromCslType as engineType,
  type showSchema,
} from "@kusto/monaco-kusto/release/esm/languageServiceManager/schema";
import type { LanguageSettings } from "@kusto/monaco-kusto/release/esm/languageServiceManager/settings";
import type { KustoWorker, LanguageServiceDefaults } from "@kusto/monaco-kusto/release/esm/types";
import { WorkerManager } from "@kusto/monaco-kusto/release/esm/workerManager";
import { monaco, workers } from "./monaco";

export const LANGUAGE = "kusto";
const DATABASE = "whatchanged";

export interface Workspace {
  tables: Record<string, Record<string, string>>;
  functions: {
    name: string;
    parameters: { name: string; type: string; default: string | null }[];
    body: string;
    documentation: string;
  }[];
  builtInFunctions: string[];
}

/** Functions that the server answers; empty: not known yet. */
const answered = new Set<string>();

const settings: LanguageSettings = {
  includeControlCommands: false,
  newlineAfterPipe: true,
  openSuggestionDialogAfterPreviousSuggestionAccepted: true,
  useIntellisenseV2: true,
  useSemanticColorization: true,
  useTokenColorization: true,
  enableHover: true,
  formatter: { indentationSize: 4, pipeOperatorStyle: "Smart" },
  completionOptions: { includeExtendedSyntax: false },
  onDidProvideCompletionItems: (list) => {
    const items = list.items
      .filter(({ label }) => !label.includes("(") || !answered.size || answered.has(label.replace(/\(.*/s, "")))
      .map(({ documentation, ...item }) => {
        const text = typeof documentation === "string" ? documentation : (documentation?.value ?? "");
        // Nothing here leads out of this server.
        const value = text.replace(/ \[\(view online\)\]\([^)]*\)/, "");
        return value ? { ...item, documentation: { kind: "markdown" as const, value } } : item;
      });
    return Promise.resolve({ ...list, items });
  },
};

const changed = new monaco.Emitter<LanguageServiceDefaults>();
const defaults: LanguageServiceDefaults = {
  onDidChange: changed.event,
  languageSettings: settings,
  setLanguageSettings: () => undefined,
  setMaximumWorkerIdleTime: () => undefined,
  // Never: the schema would be gone with the worker.
  getWorkerMaxIdleTime: () => 0,
};

workers[LANGUAGE] = () => new LanguageWorker();
const manager = new WorkerManager(monaco, defaults);
const worker = (first: monaco.Uri, ...more: monaco.Uri[]) => manager.getLanguageServiceWorker(first, ...more);
/** Done when the schema is known: who asks what may stand here before that waits. */
let isKnown = () => {};
const schemaKnown = new Promise<void>((resolve) => {
  isKnown = resolve;
});
const informed = (first: monaco.Uri, ...more: monaco.Uri[]) => schemaKnown.then(() => worker(first, ...more));
const schemaChanged = new monaco.Emitter<Parameters<KustoWorker["setSchema"]>[0]>();

monaco.languages.register({ id: LANGUAGE, extensions: [".kql"] });
monaco.languages.setLanguageConfiguration(LANGUAGE, {
  comments: { lineComment: "//" },
  brackets: [
    ["{", "}"],
    ["[", "]"],
    ["(", ")"],
  ],
  autoClosingPairs: [
    { open: "{", close: "}" },
    { open: "[", close: "]" },
    { open: "(", close: ")" },
    { open: "'", close: "'", notIn: ["string", "comment"] },
    { open: '"', close: '"', notIn: ["string", "comment"] },
  ],
});
monaco.languages.setMonarchTokensProvider(LANGUAGE, KustoLanguageDefinition);
monaco.languages.registerCompletionItemProvider(LANGUAGE, new features.CompletionAdapter(informed, settings));
monaco.languages.registerHoverProvider(LANGUAGE, new features.HoverAdapter(informed));
monaco.languages.registerDocumentFormattingEditProvider(LANGUAGE, new features.DocumentFormatAdapter(worker));
new features.ColorizationAdapter(monaco, LANGUAGE, worker, defaults, schemaChanged.event);

function described(known: Workspace): showSchema.Result {
  const tables = Object.entries(known.tables).map(([name, columns]) => {
    const described = Object.entries(columns).map(([column, type]) => ({
      Name: column,
      Type: engineType(type),
      CslType: type,
    }));
    return [name, { Name: name, EntityType: "Table" as const, OrderedColumns: described }] as const;
  });
  const functions = known.functions.map((one) => {
    const parameters = one.parameters.map(({ name, type, default: value }) => ({
      Name: name,
      Type: engineType(type),
      CslType: type,
      ...(value === null ? {} : { CslDefaultValue: value }),
    }));
    const rest = { Folder: "", FunctionKind: "Unknown", OutputColumns: [] };
    const described = { Name: one.name, InputParameters: parameters, Body: one.body, DocString: one.documentation };
    return [one.name, { ...described, ...rest }] as const;
  });
  const database = {
    Name: DATABASE,
    Tables: Object.fromEntries(tables),
    ExternalTables: {},
    MaterializedViews: {} as showSchema.Table,
    EntityGroups: {},
    MajorVersion: 0,
    MinorVersion: 0,
    Functions: Object.fromEntries(functions),
    DatabaseAccessMode: "ReadOnly",
  };
  return { Plugins: [], Databases: { [DATABASE]: database } };
}

/** Let completion know the tables and functions of this server. */
export async function know(known: Workspace, model: monaco.editor.ITextModel): Promise<void> {
  for (const name of [...known.builtInFunctions, ...known.functions.map((one) => one.name)]) answered.add(name);
  const service = await worker(model.uri);
  const schema = await service.normalizeSchema(described(known), "https://localhost", DATABASE);
  await service.setSchema(schema);
  isKnown();
  schemaChanged.fire(schema);
}
