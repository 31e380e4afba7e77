/** The text of a query, in Monaco: loaded when the page of queries is opened. */
import { makeStyles, shorthands, tokens } from "@fluentui/react-components";
import { type Ref, useEffect, useImperativeHandle, useRef } from "react";
import type { Mistake } from "../api/client";
import { know, LANGUAGE, type Workspace } from "../editor/kusto";
import { monaco, OPTIONS, themeOf } from "../editor/monaco";
import { useNarrow } from "../shell/media";
import { unitsBefore } from "./characters";

const useStyles = makeStyles({
  // Monaco fills what it is given, an outline would lie below it.
  place: {
    height: "100%",
    boxSizing: "border-box",
    border: "2px solid transparent",
    // The language service's own colours of these are too faint to be read.
    "& .monaco-editor.vs .Parameter, & .monaco-editor.vs .SignatureParameter": { color: "#1a6880" },
    "& .monaco-editor.vs-dark .Parameter, & .monaco-editor.vs-dark .SignatureParameter": { color: "#7cc4dc" },
    "& .monaco-editor.vs-dark .Comment": { color: "#8fbf6f" },
    ":focus-within": shorthands.borderColor(tokens.colorStrokeFocus2),
  },
});

export interface EditorHandle {
  /** Put the cursor where the mistake is. */
  showPlace: (mistake: Mistake) => void;
  format: () => void;
  focus: () => void;
}

interface EditorProps {
  text: string;
  dark: boolean;
  workspace: Workspace | undefined;
  mistake: Mistake | null;
  change: (text: string) => void;
  run: () => void;
  handle: Ref<EditorHandle>;
}

const OWNER = "whatchanged";

/** Return where a mistake is; one that is nowhere (at the end of the text) is where its neighbour is. */
function rangeOf(model: monaco.editor.ITextModel, mistake: Mistake): monaco.Range {
  const text = model.getValue();
  const from = unitsBefore(text, mistake.start);
  const to = Math.max(unitsBefore(text, mistake.end), Math.min(from + 1, text.length));
  const start = model.getPositionAt(from === to ? Math.max(0, from - 1) : from);
  return monaco.Range.fromPositions(start, model.getPositionAt(to));
}

export default function Editor({ text, dark, workspace, mistake, change, run, handle }: EditorProps) {
  const styles = useStyles();
  const narrow = useNarrow();
  const place = useRef<HTMLDivElement>(null);
  const made = useRef<monaco.editor.IStandaloneCodeEditor | null>(null);
  const heard = useRef({ change, run, text, dark });
  heard.current = { change, run, text, dark };

  useEffect(() => {
    if (!place.current) return;
    const model = monaco.editor.createModel(heard.current.text, LANGUAGE);
    // Places of mistakes count one character a line end.
    model.setEOL(monaco.editor.EndOfLineSequence.LF);
    const editor = monaco.editor.create(place.current, {
      ...OPTIONS,
      model,
      theme: themeOf(heard.current.dark),
      ariaLabel: "Query, in the Kusto Query Language. Control+M lets the Tab key leave.",
      padding: { top: 8, bottom: 8 },
      folding: false,
      glyphMargin: false,
      wordWrap: "on",
      quickSuggestions: { other: true, comments: false, strings: false },
    });
    made.current = editor;
    editor.addAction({
      id: "run",
      label: "Run the query",
      keybindings: [monaco.KeyMod.Shift | monaco.KeyCode.Enter, monaco.KeyMod.CtrlCmd | monaco.KeyCode.Enter],
      contextMenuGroupId: "navigation",
      run: () => heard.current.run(),
    });
    const listening = model.onDidChangeContent(() => heard.current.change(model.getValue()));
    return () => {
      listening.dispose();
      editor.dispose();
      model.dispose();
      made.current = null;
    };
  }, []);

  useEffect(() => monaco.editor.setTheme(themeOf(dark)), [dark]);

  useEffect(() => {
    made.current?.updateOptions({ lineNumbers: narrow ? "off" : "on" });
  }, [narrow]);

  useEffect(() => {
    const model = made.current?.getModel();
    // What was typed is there already; what was opened takes the place of all, and can be taken back.
    if (model && model.getValue() !== text) {
      model.pushEditOperations([], [{ range: model.getFullModelRange(), text }], () => null);
    }
  }, [text]);

  useEffect(() => {
    const model = made.current?.getModel();
    if (model && workspace) void know(workspace, model);
  }, [workspace]);

  useEffect(() => {
    const model = made.current?.getModel();
    if (!model) return;
    const markers = mistake && [
      {
        ...rangeOf(model, mistake),
        severity: monaco.MarkerSeverity.Error,
        message: mistake.suggestion ? `${mistake.reason}\nDid you mean ${mistake.suggestion}?` : mistake.reason,
        source: mistake.code,
      },
    ];
    monaco.editor.setModelMarkers(model, OWNER, markers ?? []);
  }, [mistake]);

  useImperativeHandle(handle, () => ({
    showPlace: (mistaken) => {
      const [editor, model] = [made.current, made.current?.getModel()];
      if (!editor || !model) return;
      const range = rangeOf(model, mistaken);
      editor.setSelection(range);
      editor.revealRangeInCenterIfOutsideViewport(range);
      editor.focus();
    },
    format: () => void made.current?.getAction("editor.action.formatDocument")?.run(),
    focus: () => made.current?.focus(),
  }));

  return <div ref={place} className={styles.place} />;
}
