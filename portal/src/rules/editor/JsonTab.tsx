import { Button, Field, makeStyles, tokens } from "@fluentui/react-components";
import { useRef } from "react";
import type { Misplaced } from "../document";

const useStyles = makeStyles({
  text: {
    height: "60vh",
    boxSizing: "border-box",
    width: "100%",
    resize: "vertical",
    padding: tokens.spacingHorizontalS,
    fontFamily: tokens.fontFamilyMonospace,
    fontSize: tokens.fontSizeBase200,
    lineHeight: tokens.lineHeightBase300,
    color: tokens.colorNeutralForeground1,
    backgroundColor: tokens.colorNeutralBackground1,
    border: `1px solid ${tokens.colorNeutralStrokeAccessible}`,
    borderRadius: tokens.borderRadiusMedium,
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}` },
  },
});

interface JsonTabProps {
  text: string;
  wrong: Misplaced | null;
  change: (text: string) => void;
}

/** The document as it is, for what the forms do not have. */
export function JsonTab({ text, wrong, change }: JsonTabProps) {
  const styles = useStyles();
  const area = useRef<HTMLTextAreaElement>(null);
  const show = () => {
    if (!wrong || !area.current) return;
    area.current.focus();
    area.current.setSelectionRange(wrong.at, Math.min(wrong.at + 1, text.length));
    area.current.scrollTop = Math.max(0, (wrong.line - 5) / text.split("\n").length) * area.current.scrollHeight;
  };
  return (
    <Field
      label="Document"
      hint="The resource as ARM has it. What the forms do not know stays as you write it."
      validationState={wrong ? "error" : "none"}
      validationMessage={
        wrong ? (
          <>
            Line {wrong.line}, column {wrong.column}: {wrong.message}{" "}
            <Button size="small" onClick={show}>
              Go there
            </Button>
          </>
        ) : null
      }
    >
      <textarea
        aria-label="Document"
        ref={area}
        className={styles.text}
        value={text}
        spellCheck={false}
        wrap="off"
        onChange={(event) => change(event.target.value)}
      />
    </Field>
  );
}
