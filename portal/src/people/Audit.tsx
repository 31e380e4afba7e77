import {
  Button,
  Dropdown,
  Input,
  Menu,
  MenuItem,
  MenuList,
  MenuPopover,
  MenuTrigger,
  makeStyles,
  Option,
  Spinner,
  tokens,
} from "@fluentui/react-components";
import { ArrowDownloadRegular } from "@fluentui/react-icons";
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { request, type Schemas } from "../api/client";
import { download, FORMS, type FormName, fileOf } from "../files";
import type { Column } from "../grid/Grid";
import { go, usePlace } from "../location";
import { numberText, whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Problem } from "../states/Problem";
import { visible, visibleLines } from "../text";
import { Commands } from "./Commands";
import { Section } from "./Section";
import type { TabProps } from "./tabs";

type Entry = Schemas["AuditEntry"];
type Entries = Schemas["AuditEntries"];

const useStyles = makeStyles({
  raw: { overflowX: "auto", whiteSpace: "pre-wrap", overflowWrap: "anywhere", margin: 0 },
  text: { width: "11rem", flexGrow: 1, maxWidth: "16rem" },
  action: { minWidth: "10rem" },
  day: { width: "11rem" },
  export: { marginLeft: tokens.spacingHorizontalXS },
});

/** What actions begin with, and what they concern. */
const ACTIONS: Record<string, string> = {
  "": "All actions",
  "session.": "Sign-ins and sign-outs",
  "signIn.failed": "Failed sign-ins",
  "signInLink.": "Sign-in links",
  "account.": "Accounts",
  "token.": "API tokens",
  "enrollmentToken.": "Enrolment tokens",
  "sender.": "Senders",
  "machine.": "Machines",
  "machineGroup.": "Machine groups",
  "rule.": "Rules",
  "association.": "Associations",
  "query.": "Saved queries",
  "settings.": "Settings",
  "request.": "Requests to machines",
  "backup.": "Backups",
};

const detailText = (entry: Entry) =>
  Object.entries(entry.detail)
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");

const COLUMNS: Column<Entry>[] = [
  { id: "time", label: "Time", width: "11rem", text: (entry) => whenText(entry.time) },
  { id: "action", label: "Action", width: "minmax(11rem, 1fr)", text: (entry) => entry.action },
  { id: "actor", label: "Actor", width: "minmax(10rem, 2fr)", text: (entry) => entry.actor },
  { id: "target", label: "Target", width: "minmax(10rem, 2fr)", text: (entry) => entry.target },
  { id: "detail", label: "Detail", width: "minmax(10rem, 3fr)", text: detailText },
];

const FILTERS = ["action", "actor", "target", "from", "to"];
const PAGE = 100;
const EXPORTED = 10_000;
const MOST_EXPORTED = 200_000;

function page(filter: URLSearchParams, limit: number, cursor: string, signal?: AbortSignal): Promise<Entries> {
  const asked = new URLSearchParams(filter);
  asked.set("limit", String(limit));
  if (cursor) asked.set("cursor", cursor);
  return request<Entries>("GET", `/api/v1/audit?${asked}`, { signal });
}

async function everything(filter: URLSearchParams): Promise<Entry[]> {
  const found: Entry[] = [];
  let cursor = "";
  do {
    const one = await page(filter, EXPORTED, cursor);
    found.push(...one.value);
    cursor = one.nextCursor ?? "";
    if (cursor && found.length >= MOST_EXPORTED) {
      throw new Error(`There are more than ${numberText(MOST_EXPORTED)} entries: choose a shorter time.`);
    }
  } while (cursor);
  return found;
}

export function Audit({ selected, select }: TabProps) {
  const styles = useStyles();
  const { path, query } = usePlace();
  const filter = new URLSearchParams(
    FILTERS.flatMap((name) => (query.get(name) ? [[name, query.get(name) ?? ""]] : [])),
  );
  const set = (name: string, value: string, replace = false) => {
    const next = new URLSearchParams(query);
    next.delete("id");
    if (value) next.set(name, value);
    else next.delete(name);
    go(path, next, replace);
  };
  const pages = useInfiniteQuery({
    queryKey: ["audit", filter.toString()],
    queryFn: ({ pageParam, signal }) => page(filter, PAGE, pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextCursor ?? null,
  });
  const exporting = useMutation({
    mutationFn: async (form: FormName) => {
      const rows = await everything(filter);
      const flat = rows.map((entry) => ({ ...entry, detail: JSON.stringify(entry.detail) }));
      const file =
        form === "csv"
          ? fileOf(flat, ["id", "time", "actor", "action", "target", "detail"], form)
          : new Blob([JSON.stringify(rows, null, 1)], { type: FORMS.json.type });
      download(`audit.${form}`, file);
    },
  });
  const rows = pages.data?.pages.flatMap((one) => one.value);
  const more = pages.hasNextPage && !pages.isFetchingNextPage ? () => void pages.fetchNextPage() : undefined;
  const action = query.get("action") ?? "";
  return (
    <Section
      label="Audit log"
      commands={
        <>
          <Dropdown
            className={styles.action}
            aria-label="Action"
            value={ACTIONS[action] ?? action}
            selectedOptions={[action]}
            onOptionSelect={(_, { optionValue }) => set("action", optionValue ?? "")}
          >
            {Object.entries(ACTIONS).map(([name, label]) => (
              <Option key={name} value={name}>
                {label}
              </Option>
            ))}
          </Dropdown>
          <Typed label="Actor" value={query.get("actor") ?? ""} set={(value) => set("actor", value, true)} />
          <Typed label="Target" value={query.get("target") ?? ""} set={(value) => set("target", value, true)} />
          <Day label="From" end={false} value={query.get("from") ?? ""} set={(value) => set("from", value)} />
          <Day label="To" end={true} value={query.get("to") ?? ""} set={(value) => set("to", value)} />
          <Menu>
            <MenuTrigger disableButtonEnhancement>
              <Button
                icon={exporting.isPending ? <Spinner size="tiny" /> : <ArrowDownloadRegular />}
                appearance="subtle"
                className={styles.export}
              >
                Export
              </Button>
            </MenuTrigger>
            <MenuPopover>
              <MenuList>
                <MenuItem onClick={() => exporting.mutate("csv")}>CSV</MenuItem>
                <MenuItem onClick={() => exporting.mutate("json")}>JSON</MenuItem>
              </MenuList>
            </MenuPopover>
          </Menu>
        </>
      }
      found={{ data: rows, error: pages.error, isPending: pages.isPending, refetch: pages.refetch }}
      columns={COLUMNS}
      keyOf={(entry) => String(entry.id)}
      selected={selected}
      select={select}
      empty={
        filter.size
          ? "Nothing like that was done, or it is outside the time that is asked for."
          : "Nothing was changed yet on this server."
      }
      status={rows ? `Entries: ${numberText(rows.length)}${pages.hasNextPage ? ", more below" : ""}` : ""}
      more={more}
      details={(entry) => (
        <Drawer of="Entry" title={visible(entry.action)} close={() => select(null)}>
          <Commands>
            <Button onClick={() => set("actor", entry.actor)}>Only this actor</Button>
            {entry.target && <Button onClick={() => set("target", entry.target)}>Only this target</Button>}
            <Button onClick={() => set("action", entry.action)}>Only this action</Button>
          </Commands>
          <Facts
            facts={[
              ["Time", whenText(entry.time)],
              ["Actor", visible(entry.actor)],
              ["Target", visible(entry.target)],
            ]}
          />
          <pre className={styles.raw}>{visibleLines(JSON.stringify(entry.detail, null, 1))}</pre>
        </Drawer>
      )}
    >
      {exporting.error && <Problem error={exporting.error} />}
    </Section>
  );
}

/** A text that counts when typing pauses. */
function Typed({ label, value, set }: { label: string; value: string; set: (value: string) => void }) {
  const styles = useStyles();
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return;
    const soon = window.setTimeout(() => set(text), 300);
    return () => window.clearTimeout(soon);
  });
  return (
    <Input
      className={styles.text}
      aria-label={label}
      placeholder={label}
      value={text}
      onChange={(_, given) => setText(given.value)}
    />
  );
}

interface DayProps {
  label: string;
  /** Whether the day itself belongs to the time, which ends then. */
  end: boolean;
  value: string;
  set: (value: string) => void;
}

function Day({ label, end, value, set }: DayProps) {
  const styles = useStyles();
  // A moment before the end is on the day that was chosen.
  const shown = value ? new Intl.DateTimeFormat("sv-SE").format(Date.parse(value) - (end ? 1 : 0)) : "";
  const chosen = (day: string) => {
    if (!day) return set("");
    const start = new Date(`${day}T00:00:00`);
    if (end) start.setDate(start.getDate() + 1);
    set(start.toISOString());
  };
  return (
    <Input
      className={styles.day}
      type="date"
      aria-label={label}
      contentBefore={label}
      value={shown}
      onChange={(_, given) => chosen(given.value)}
    />
  );
}
