import { makeStyles, tokens } from "@fluentui/react-components";
import { WarningRegular } from "@fluentui/react-icons";
import { pieces, unusual } from "../text";

const useStyles = makeStyles({
  sign: {
    verticalAlign: "text-bottom",
    marginRight: tokens.spacingHorizontalXS,
    color: tokens.colorStatusWarningForeground1,
  },
  mark: { color: tokens.colorStatusWarningForeground1, backgroundColor: tokens.colorStatusWarningBackground1 },
});

/** A name that others gave. What would not be seen is written out; a name that is not as it looks says so first. */
export function Name({ text }: { text: string }) {
  const styles = useStyles();
  const why = unusual(text);
  // Isolated, so that letters written from right to left turn nothing beside them.
  if (!why) return <bdi>{text}</bdi>;
  return (
    <bdi title={why}>
      <WarningRegular className={styles.sign} role="img" aria-label={`Unusual name. ${why}`} />
      {pieces(text).map((piece, at) =>
        piece.marked ? (
          <span key={at} className={styles.mark}>
            {piece.text}
          </span>
        ) : (
          piece.text
        ),
      )}
    </bdi>
  );
}
