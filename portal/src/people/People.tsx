/** People and settings; of everybody the own account, the rest for Owners. */
import {
  MessageBar,
  MessageBarBody,
  MessageBarTitle,
  makeStyles,
  Tab,
  TabList,
  tokens,
} from "@fluentui/react-components";
import type { ComponentType } from "react";
import { go, usePlace } from "../location";
import { Heading } from "../shell/Heading";
import type { PageProps } from "../shell/page";
import { Accounts } from "./Accounts";
import { Audit } from "./Audit";
import { Groups } from "./Groups";
import { Own } from "./Own";
import { Settings } from "./Settings";
import { Tokens } from "./Tokens";
import type { TabProps } from "./tabs";

const useStyles = makeStyles({
  tabs: { backgroundColor: tokens.colorNeutralBackground1, overflowX: "auto", flexShrink: 0 },
  refused: { margin: tokens.spacingHorizontalM },
});

interface TabEntry {
  label: string;
  tab: ComponentType<TabProps>;
  everybody?: true;
}

const TABS: Record<string, TabEntry> = {
  me: { label: "My account", tab: Own, everybody: true },
  accounts: { label: "Accounts", tab: Accounts },
  tokens: { label: "API tokens", tab: Tokens },
  groups: { label: "Machine groups", tab: Groups, everybody: true },
  audit: { label: "Audit log", tab: Audit },
  settings: { label: "Settings", tab: Settings },
};

export default function People({ session }: PageProps) {
  const styles = useStyles();
  const { path, query } = usePlace();
  const owner = session.role === "Owner";
  const wanted = query.get("tab") ?? "";
  const name = wanted in TABS ? wanted : owner ? "accounts" : "me";
  const { label, tab: Chosen, everybody } = TABS[name] as TabEntry;
  const select = (id: string | null) => {
    const next = new URLSearchParams(query);
    if (id) next.set("id", id);
    else next.delete("id");
    go(path, next);
  };
  return (
    <>
      <Heading>People</Heading>
      <TabList
        className={styles.tabs}
        size="small"
        selectedValue={name}
        onTabSelect={(_, { value }) => go(path, new URLSearchParams({ tab: String(value) }))}
      >
        {Object.entries(TABS)
          .filter(([, entry]) => owner || entry.everybody)
          .map(([key, entry]) => (
            <Tab key={key} value={key}>
              {entry.label}
            </Tab>
          ))}
      </TabList>
      {owner || everybody ? (
        <Chosen session={session} selected={query.get("id")} select={select} />
      ) : (
        <MessageBar className={styles.refused} layout="multiline">
          <MessageBarBody>
            <MessageBarTitle>{label}: for Owners only.</MessageBarTitle> You are signed in with the role {session.role}.
            An Owner of this server can give you another one.
          </MessageBarBody>
        </MessageBar>
      )}
    </>
  );
}
