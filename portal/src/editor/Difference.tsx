/** Two texts, and what is other in the second: side by side, or one below the other. */
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  makeStyles,
  Switch,
  tokens,
} from "@fluentui/react-components";
import { useEffect, useRef, useState } from "react";
import { useNarrow } from "../shell/media";
import { useIsDark } from "../shell/theme";
import { visibleLines } from "../text";
import { monaco, OPTIONS, themeOf } from "./monaco";

const useStyles = makeStyles({
  surface: { maxWidth: "min(80rem, 96vw)", width: "96vw" },
  content: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalS },
  switch: { alignSelf: "flex-start" },
  place: { height: "60vh", border: `1px solid ${tokens.colorNeutralStroke2}` },
});

interface DifferenceProps {
  of: string;
  before: string;
  after: string;
  close: () => void;
}

export default function Difference({ of, before, after, close }: DifferenceProps) {
  const styles = useStyles();
  const narrow = useNarrow();
  const [inline, setInline] = useState(narrow);
  return (
    <Dialog open onOpenChange={(_, { open }) => open || close()}>
      <DialogSurface className={styles.surface}>
        <DialogBody>
          <DialogTitle>{of}: before and after</DialogTitle>
          <DialogContent className={styles.content}>
            <Switch
              className={styles.switch}
              label="Inline"
              checked={inline}
              onChange={(_, { checked }) => setInline(checked)}
            />
            <Compared of={of} before={before} after={after} inline={inline} />
          </DialogContent>
          <DialogActions>
            <Button onClick={close}>Close</Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}

function Compared({ of, before, after, inline }: Omit<DifferenceProps, "close"> & { inline: boolean }) {
  const styles = useStyles();
  const dark = useIsDark();
  const place = useRef<HTMLDivElement>(null);
  const made = useRef<monaco.editor.IStandaloneDiffEditor | null>(null);

  useEffect(() => {
    if (!place.current) return;
    // What would not be seen is written out here as everywhere.
    const [original, modified] = [before, after].map((text) =>
      monaco.editor.createModel(visibleLines(text), "plaintext"),
    );
    if (!original || !modified) return;
    const editor = monaco.editor.createDiffEditor(place.current, {
      ...OPTIONS,
      readOnly: true,
      originalEditable: false,
      domReadOnly: true,
      wordWrap: "on",
      diffWordWrap: "on",
      renderOverviewRuler: false,
      renderMarginRevertIcon: false,
      renderGutterMenu: false,
      useInlineViewWhenSpaceIsLimited: false,
      unicodeHighlight: { ambiguousCharacters: true, invisibleCharacters: true },
      // Tab is no letter here: it leads on.
      tabFocusMode: true,
    });
    editor.setModel({ original, modified });
    made.current = editor;
    return () => {
      editor.dispose();
      original.dispose();
      modified.dispose();
      made.current = null;
    };
  }, [before, after]);
  useEffect(() => monaco.editor.setTheme(themeOf(dark)), [dark]);
  useEffect(() => {
    const editor = made.current;
    if (!editor) return;
    editor.updateOptions({ renderSideBySide: !inline });
    // Of its own labels the editor gives one away when its options change.
    editor.getOriginalEditor().updateOptions({ ariaLabel: `${of} before` });
    editor.getModifiedEditor().updateOptions({ ariaLabel: `${of} after` });
  }, [inline, of]);
  return <div ref={place} className={styles.place} />;
}
