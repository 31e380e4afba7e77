/** The address of a query, for others: whoever opens it needs an account, and sees what he may see. */
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Input,
  makeStyles,
  Text,
  tokens,
} from "@fluentui/react-components";
import { useState } from "react";

const useStyles = makeStyles({
  content: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalM },
});

export function LinkDialog({ link, close }: { link: string; close: () => void }) {
  const styles = useStyles();
  const [copied, setCopied] = useState<boolean | null>(null);
  // Without TLS, and not on this very machine, browsers have no clipboard for pages.
  const copy = async () =>
    setCopied(
      (await navigator.clipboard?.writeText(link).then(
        () => true,
        () => false,
      )) ?? false,
    );
  return (
    <Dialog open onOpenChange={(_, { open }) => open || close()}>
      <DialogSurface>
        <DialogBody>
          <DialogTitle>Share the query</DialogTitle>
          <DialogContent className={styles.content}>
            <Text>The query, its parameters and its time. Whoever follows it sees what he himself may see.</Text>
            <Input readOnly value={link} aria-label="Link" onFocus={(event) => event.currentTarget.select()} />
            <Text role="status">
              {copied === null
                ? ""
                : copied
                  ? "Copied."
                  : "The browser does not let this page copy. Select the link and copy it."}
            </Text>
          </DialogContent>
          <DialogActions>
            <Button onClick={close}>Close</Button>
            <Button appearance="primary" onClick={() => void copy()}>
              Copy link
            </Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
