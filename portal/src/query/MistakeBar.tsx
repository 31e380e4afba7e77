/** What is wrong with the query that was run, and where. */
import {
  Button,
  MessageBar,
  MessageBarActions,
  MessageBarBody,
  MessageBarTitle,
  makeStyles,
} from "@fluentui/react-components";
import type { Mistake } from "../api/client";
import { visible } from "../text";

const useStyles = makeStyles({ bar: { flexShrink: 0 } });

export const placeOf = ({ line, pos }: Mistake) => `Line ${line}, column ${pos + 1}`;

export const wordsOf = ({ reason, suggestion }: Mistake) =>
  visible(`${reason}${suggestion ? `; did you mean ${suggestion}?` : ""}`);

export function MistakeBar({ mistake, show }: { mistake: Mistake; show?: (() => void) | undefined }) {
  const styles = useStyles();
  return (
    <MessageBar intent="error" role="alert" layout="multiline" className={styles.bar}>
      <MessageBarBody>
        <MessageBarTitle>{placeOf(mistake)}</MessageBarTitle> {wordsOf(mistake)}
      </MessageBarBody>
      {show && (
        <MessageBarActions>
          <Button onClick={show}>Show the place</Button>
        </MessageBarActions>
      )}
    </MessageBar>
  );
}
