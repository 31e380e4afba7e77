import { FluentProvider, makeStyles, Spinner, tokens } from "@fluentui/react-components";
import { Suspense, useRef } from "react";
import { usePlace } from "../location";
import { Problem } from "../states/Problem";
import { Frame } from "./Frame";
import { pageOf } from "./pages";
import { isLink, SignIn } from "./SignIn";
import { useSession } from "./session";
import { useTheme } from "./theme";

const useStyles = makeStyles({
  whole: { height: "100%", backgroundColor: tokens.colorNeutralBackground2 },
  wait: { padding: tokens.spacingVerticalXXXL },
});

export function App() {
  const styles = useStyles();
  const { theme, dark, toggle } = useTheme();
  const { path } = usePlace();
  const session = useSession();
  const wasSignedIn = useRef(false);
  if (session.data) wasSignedIn.current = true;
  const Page = pageOf(path).page;
  const wait = <Spinner className={styles.wait} label="Loading" />;

  let content = wait;
  if (session.error) content = <Problem error={session.error} again={() => void session.refetch()} />;
  else if (session.data === null || isLink(path)) content = <SignIn over={wasSignedIn.current && !isLink(path)} />;
  else if (session.data) {
    content = (
      <Frame session={session.data} dark={dark} toggleTheme={toggle}>
        <Suspense fallback={wait}>
          <Page session={session.data} dark={dark} />
        </Suspense>
      </Frame>
    );
  }
  return (
    // Classes of the provider are given to every menu and dialog as well, which would then cover the page.
    <FluentProvider theme={theme} style={{ height: "100%" }}>
      <div className={styles.whole}>{content}</div>
    </FluentProvider>
  );
}
