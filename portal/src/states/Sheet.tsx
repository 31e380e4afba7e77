/** A dialog that asks before something is done. */
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Field,
  Input,
  makeStyles,
  tokens,
} from "@fluentui/react-components";
import { type FormEvent, type ReactNode, useState } from "react";
import { Problem } from "./Problem";

const useStyles = makeStyles({
  form: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalM },
  secret: {
    overflowWrap: "anywhere",
    whiteSpace: "pre-wrap",
    fontFamily: tokens.fontFamilyMonospace,
    margin: 0,
    padding: tokens.spacingHorizontalM,
    backgroundColor: tokens.colorNeutralBackground3,
    borderRadius: tokens.borderRadiusMedium,
  },
});

interface SheetProps {
  title: string;
  action: string;
  /** What the way out is called. */
  cancel?: string;
  act: () => void;
  close: () => void;
  busy?: boolean;
  error?: Error | null;
  /** Whether the action makes sense as things are. */
  ready?: boolean;
  /** What must be typed first: for what cannot be undone. */
  typed?: string;
  children: ReactNode;
}

export function Sheet(props: SheetProps) {
  const { title, action, cancel = "Cancel", act, close, busy, error, ready = true, typed, children } = props;
  const styles = useStyles();
  const [given, setGiven] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    act();
  };
  return (
    <Dialog open onOpenChange={(_, { open }) => open || close()}>
      <DialogSurface>
        <form onSubmit={submit}>
          <DialogBody>
            <DialogTitle>{title}</DialogTitle>
            <DialogContent className={styles.form}>
              {children}
              {typed !== undefined && (
                <Field label={`Type ${typed} to go on`}>
                  <Input value={given} onChange={(_, { value }) => setGiven(value)} autoComplete="off" />
                </Field>
              )}
              {error && <Problem error={error} />}
            </DialogContent>
            <DialogActions>
              <Button onClick={close}>{cancel}</Button>
              <Button
                type="submit"
                appearance="primary"
                disabled={busy || !ready || (typed !== undefined && given !== typed)}
              >
                {action}
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}

/** A secret that is shown once. */
export function ShownOnce({
  title,
  secret,
  close,
  children,
}: {
  title: string;
  secret: string;
  close: () => void;
  children: ReactNode;
}) {
  const styles = useStyles();
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard?.writeText(secret).then(() => setCopied(true));
  return (
    <Dialog open modalType="alert">
      <DialogSurface>
        <DialogBody>
          <DialogTitle>{title}</DialogTitle>
          <DialogContent className={styles.form}>
            {children}
            <pre className={styles.secret} data-secret>
              {secret}
            </pre>
          </DialogContent>
          <DialogActions>
            <Button onClick={() => void copy()}>{copied ? "Copied" : "Copy"}</Button>
            <Button appearance="primary" onClick={close}>
              I have kept it
            </Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
