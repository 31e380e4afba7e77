import {
  Button,
  MessageBar,
  MessageBarActions,
  MessageBarBody,
  MessageBarTitle,
  makeStyles,
  tokens,
} from "@fluentui/react-components";

const useStyles = makeStyles({ bar: { margin: tokens.spacingHorizontalM } });

/** What went wrong, in the server's words, and the way to try again. */
export function Problem({ error, again }: { error: Error; again?: () => void }) {
  const styles = useStyles();
  return (
    <MessageBar intent="error" role="alert" layout="multiline" className={styles.bar}>
      <MessageBarBody>
        <MessageBarTitle>That did not work.</MessageBarTitle> {error.message}
      </MessageBarBody>
      {again && (
        <MessageBarActions>
          <Button onClick={again}>Try again</Button>
        </MessageBarActions>
      )}
    </MessageBar>
  );
}
