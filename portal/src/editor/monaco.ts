/** Monaco, of this server's own: loaded by those who edit or compare texts, and by nobody else. */
import "./styles";
import "monaco-editor/esm/vs/editor/edcore.main";
import * as monaco from "monaco-editor/esm/vs/editor/editor.api";
import EditorWorker from "monaco-editor/esm/vs/editor/editor.worker?worker";

/** Workers of languages, by their labels. */
export const workers: Record<string, () => Worker> = {};

window.MonacoEnvironment = { getWorker: (_, label) => (workers[label] ?? (() => new EditorWorker()))() };

/** Colours of the vendor's themes, but for those that are too faint to be read on their ground. */
monaco.editor.defineTheme("whatchanged-light", {
  base: "vs",
  inherit: true,
  rules: [
    { token: "comment", foreground: "006400" },
    { token: "string", foreground: "B22222" },
    { token: "number", foreground: "191970" },
    { token: "annotation", foreground: "6A1B9A" },
    { token: "operator.sql", foreground: "A62B00" },
  ],
  colors: { "editorLineNumber.foreground": "#5c5c5c", "editor.background": "#ffffff" },
});
monaco.editor.defineTheme("whatchanged-dark", {
  base: "vs-dark",
  inherit: true,
  rules: [
    { token: "comment", foreground: "8FBF6F" },
    { token: "string", foreground: "CE9178" },
    { token: "number", foreground: "D7BA7D" },
    { token: "annotation", foreground: "9CDCFE" },
    { token: "operator.sql", foreground: "9CDCFE" },
  ],
  colors: { "editorLineNumber.foreground": "#a8a8a8", "editor.background": "#292929" },
});

export const themeOf = (dark: boolean) => (dark ? "whatchanged-dark" : "whatchanged-light");

/** What all editors of this page have in common. */
export const OPTIONS: monaco.editor.IEditorOptions & monaco.editor.IGlobalEditorOptions = {
  automaticLayout: true,
  minimap: { enabled: false },
  scrollBeyondLastLine: false,
  overviewRulerLanes: 0,
  hideCursorInOverviewRuler: true,
  overviewRulerBorder: false,
  renderControlCharacters: true,
  fontSize: 14,
  lineNumbersMinChars: 3,
  // A list of completions is larger than the editor.
  fixedOverflowWidgets: true,
  links: false,
};

export { monaco };
