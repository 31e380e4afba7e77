import { Badge, Button, Field, Input, makeStyles, Subtitle2, Text, tokens } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { agoText, whenText } from "../moments";
import { Facts } from "../states/Facts";
import { Problem } from "../states/Problem";
import { Sheet, ShownOnce } from "../states/Sheet";
import { visible } from "../text";
import { groupsText, LISTS, type OwnSession, ROLES, SHORTEST } from "./access";
import { Commands } from "./Commands";
import { Password } from "./Password";
import type { TabProps } from "./tabs";
import { useChange } from "./useChange";

const useStyles = makeStyles({
  place: {
    overflowY: "auto",
    flexGrow: 1,
    minHeight: 0,
    padding: tokens.spacingHorizontalXXL,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalL,
    maxWidth: "52rem",
  },
  heading: { margin: 0 },
  sessions: { listStyle: "none", margin: 0, padding: 0 },
  session: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    columnGap: tokens.spacingHorizontalM,
    rowGap: tokens.spacingVerticalXS,
    padding: `${tokens.spacingVerticalS} 0`,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  what: { flexGrow: 1, flexBasis: "14rem" },
});

/** What one is here, and what one may do about it. */
export function Own({ session }: TabProps) {
  const styles = useStyles();
  const [doing, setDoing] = useState<"password" | null>(null);
  const link = useChange<{ link: string }>([]);
  const groups = session.machineGroups;
  return (
    <div className={styles.place}>
      <Subtitle2 as="h2" className={styles.heading}>
        {visible(session.name)}
      </Subtitle2>
      <Commands>
        {session.account && <Button onClick={() => setDoing("password")}>Change password</Button>}
        <Button
          disabled={link.isPending}
          onClick={() => link.mutate({ method: "POST", path: "/api/v1/sign-in-links" })}
        >
          Make a sign-in link
        </Button>
      </Commands>
      {link.error && <Problem error={link.error} />}
      <Facts
        facts={[
          ["Signed in by", session.account ? "an account" : "an API token, which has no password"],
          ["Role", `${session.role}: ${ROLES[session.role as keyof typeof ROLES] ?? ""}`],
          ["Machine groups", groups === null ? "All" : `${groupsText(groups)}; nothing of other groups is shown`],
        ]}
      />
      <Sessions />
      {doing === "password" && <ChangePassword close={() => setDoing(null)} />}
      {link.data && (
        <ShownOnce
          title="A link that signs in as you"
          secret={`${window.location.origin}/sign-in#${link.data.link}`}
          close={link.reset}
        >
          <Text>It works once, within ten minutes, in any browser that reaches this server. Give it to nobody.</Text>
        </ShownOnce>
      )}
    </div>
  );
}

function Sessions() {
  const styles = useStyles();
  const found = useQuery(LISTS.sessions);
  const change = useChange(["sessions"]);
  const end = (one: OwnSession) =>
    change.mutate({ method: "DELETE", path: `/api/v1/sessions/${encodeURIComponent(one.id)}` });
  return (
    <section aria-label="Sessions">
      <Subtitle2 as="h2" className={styles.heading}>
        Sessions
      </Subtitle2>
      {found.error && <Problem error={found.error} again={() => void found.refetch()} />}
      {change.error && <Problem error={change.error} />}
      <ul className={styles.sessions}>
        {found.data?.map((one) => (
          <li key={one.id} className={styles.session}>
            <div className={styles.what}>
              <Text block>
                Since {whenText(one.openedAt)}
                {one.address ? ` from ${visible(one.address)}` : ""}{" "}
                {one.current && <Badge appearance="tint">this one</Badge>}
              </Text>
              <Text size={200}>
                Last active {agoText(one.lastSeen)}, ends at the latest {whenText(one.endsAt)}
              </Text>
            </div>
            {!one.current && (
              <Button size="small" disabled={change.isPending} onClick={() => end(one)}>
                End
              </Button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function ChangePassword({ close }: { close: () => void }) {
  const [current, setCurrent] = useState("");
  const [password, setPassword] = useState("");
  // All sessions have ended, this one, too. A dialog that goes together with the page below it would leave that hidden
  // from screen readers: the page begins anew.
  const change = useChange([], () => window.location.reload());
  return (
    <Sheet
      title="Change password"
      action="Change password"
      act={() => change.mutate({ method: "PUT", path: "/api/v1/session/password", body: { current, password } })}
      close={close}
      busy={change.isPending}
      error={change.error}
      ready={current !== "" && password.length >= SHORTEST}
    >
      <Text>All your sessions end, also this one: sign in again with the new password.</Text>
      <Field label="Current password">
        <Input
          type="password"
          autoComplete="current-password"
          value={current}
          onChange={(_, { value }) => setCurrent(value)}
        />
      </Field>
      <Password label="New password" value={password} onChange={setPassword} />
    </Sheet>
  );
}
