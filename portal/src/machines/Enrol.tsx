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
  SpinButton,
  Text,
  tokens,
} from "@fluentui/react-components";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "../api/client";
import { Problem } from "../states/Problem";

const useStyles = makeStyles({
  form: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalM },
  command: { overflowWrap: "anywhere", whiteSpace: "pre-wrap", fontFamily: tokens.fontFamilyMonospace, margin: 0 },
});

/** A token that lets machines enrol, shown once. */
export function Enrol({ close }: { close: () => void }) {
  const styles = useStyles();
  const [group, setGroup] = useState("default");
  const [uses, setUses] = useState(1);
  const make = useMutation({
    mutationFn: () =>
      request<{ token: string }>("POST", "/api/v1/enrollment-tokens", {
        body: { machineGroup: group, uses, expiresInSeconds: 86_400 },
      }),
  });
  return (
    <Dialog open onOpenChange={(_, { open }) => open || close()}>
      <DialogSurface>
        <DialogBody>
          <DialogTitle>Enrol machines</DialogTitle>
          <DialogContent className={styles.form}>
            {make.data ? (
              <>
                <Text>
                  This token is shown once. It is good for a day. Keep it in a file on the machine, and run there:
                </Text>
                <pre className={styles.command}>{make.data.token}</pre>
                <pre className={styles.command}>
                  whatchanged install --server {window.location.origin} --token-file token
                </pre>
                <Button onClick={() => void navigator.clipboard?.writeText(make.data.token)}>Copy the token</Button>
              </>
            ) : (
              <>
                <Field label="Machine group" hint="Rules may be associated with a group.">
                  <Input value={group} onChange={(_, { value }) => setGroup(value)} />
                </Field>
                <Field label="Machines" hint="How many may use the token.">
                  <SpinButton
                    min={1}
                    max={100_000}
                    value={uses}
                    onChange={(_, { value, displayValue }) => setUses(value ?? (Number(displayValue) || 1))}
                  />
                </Field>
                {make.error && <Problem error={make.error} />}
              </>
            )}
          </DialogContent>
          <DialogActions>
            <Button onClick={close}>Close</Button>
            {!make.data && (
              <Button appearance="primary" disabled={make.isPending} onClick={() => make.mutate()}>
                Make a token
              </Button>
            )}
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
