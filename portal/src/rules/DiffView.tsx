import { makeStyles, mergeClasses, Text, tokens } from "@fluentui/react-components";
import { visible } from "../text";
import { difference } from "./diff";

const useStyles = makeStyles({
  lines: {
    margin: 0,
    overflowX: "auto",
    fontFamily: tokens.fontFamilyMonospace,
    fontSize: tokens.fontSizeBase200,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    maxHeight: "60vh",
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}` },
  },
  line: { whiteSpace: "pre-wrap", overflowWrap: "anywhere", padding: `0 ${tokens.spacingHorizontalS}` },
  added: { backgroundColor: tokens.colorStatusSuccessBackground1, color: tokens.colorStatusSuccessForeground1 },
  removed: { backgroundColor: tokens.colorStatusDangerBackground1, color: tokens.colorStatusDangerForeground1 },
  cut: { color: tokens.colorNeutralForeground2, backgroundColor: tokens.colorNeutralBackground3 },
});

/** Two documents, line by line. */
export function DiffView({ before, after, label }: { before: string; after: string; label: string }) {
  const styles = useStyles();
  const lines = difference(before, after);
  if (lines.every((line) => line.sign === "…")) return <Text>Both say the same.</Text>;
  return (
    // biome-ignore lint/a11y/useSemanticElements: what scrolls must be reached by keyboard, and have a name
    // biome-ignore lint/a11y/noNoninteractiveTabindex: as above
    <div className={styles.lines} role="group" aria-label={label} tabIndex={0}>
      {lines.map((line, at) => (
        <div
          key={at}
          className={mergeClasses(
            styles.line,
            line.sign === "+" && styles.added,
            line.sign === "-" && styles.removed,
            line.sign === "…" && styles.cut,
          )}
        >
          {`${line.sign} ${visible(line.text)}`}
        </div>
      ))}
    </div>
  );
}
