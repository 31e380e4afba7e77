import {
  Button,
  Card,
  Field,
  Input,
  MessageBar,
  MessageBarBody,
  makeStyles,
  Spinner,
  Text,
  Title2,
  tokens,
} from "@fluentui/react-components";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { go, usePlace } from "../location";
import { useSigning } from "./session";

const useStyles = makeStyles({
  place: {
    minHeight: "100%",
    display: "grid",
    placeItems: "center",
    padding: tokens.spacingHorizontalL,
    boxSizing: "border-box",
  },
  card: { width: "min(24rem, 100%)", boxSizing: "border-box", padding: tokens.spacingHorizontalXXL },
  form: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalM },
  hint: { color: tokens.colorNeutralForeground2 },
});

/** Where a link that signs in leads to; what stands behind `#` reaches no server on its own. */
const LINK = "/sign-in";

let following = false;

/** Whether the address is a link that signs in: it counts also where somebody is signed in already. */
export const isLink = (path: string) => path === LINK && (following || window.location.hash.length > 1);

export function SignIn({ over }: { over: boolean }) {
  const styles = useStyles();
  const { path } = usePlace();
  const { signIn } = useSigning();
  const [byToken, setByToken] = useState(false);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const followed = useRef(false);

  const attempt = async (body: Record<string, string>) => {
    setBusy(true);
    setProblem("");
    try {
      await signIn(body);
      following = false;
      if (path === LINK) go("/", new URLSearchParams(), true);
    } catch (error) {
      following = false;
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };

  useEffect(() => {
    const link = window.location.hash.slice(1);
    if (path !== LINK || !link || followed.current) return;
    followed.current = true;
    // It is used up: neither the address bar nor the history should keep it.
    window.history.replaceState(null, "", LINK);
    following = true;
    void attempt({ link });
  });

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    void attempt(Object.fromEntries([...form].map(([name, value]) => [name, String(value)])));
  };

  return (
    <main className={styles.place}>
      <Card className={styles.card}>
        <form className={styles.form} onSubmit={submit}>
          <Title2 as="h1">whatchanged</Title2>
          {over && !problem && <Text>Your session is over. Sign in to go on where you were.</Text>}
          {problem && (
            <MessageBar intent="error" role="alert">
              <MessageBarBody>{problem}</MessageBarBody>
            </MessageBar>
          )}
          {byToken ? (
            <Field label="API token" key="token">
              <Input name="token" type="password" autoComplete="off" required />
            </Field>
          ) : (
            <>
              <Field label="Name">
                <Input name="name" autoComplete="username" required />
              </Field>
              <Field label="Password">
                <Input name="password" type="password" autoComplete="current-password" required />
              </Field>
            </>
          )}
          <Button type="submit" appearance="primary" disabled={busy} icon={busy ? <Spinner size="tiny" /> : null}>
            Sign in
          </Button>
          <Button type="button" appearance="transparent" onClick={() => setByToken(!byToken)}>
            {byToken ? "Use name and password" : "Use an API token"}
          </Button>
          <Text size={200} className={styles.hint}>
            No account yet? On the server, <code>whatchanged users link</code> prints a link that signs you in.
          </Text>
        </form>
      </Card>
    </main>
  );
}
