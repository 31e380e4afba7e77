import { Button, makeStyles, mergeClasses, Spinner, Tab, TabList, Text, tokens } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { ask, type Question, type Value } from "../api/client";
import { Asking, type FieldName, ITEM } from "../filter/filter";
import { whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Name } from "../states/Name";
import { Problem } from "../states/Problem";
import { quoted, visible, visibleLines } from "../text";
import { Category } from "./Changes";
import { isLong, type Property, properties } from "./properties";
import { asChange, type Change, itemName, kindText, whatChanged } from "./rows";

const Difference = lazy(() => import("../editor/Difference"));

const useStyles = makeStyles({
  table: { borderCollapse: "collapse", width: "100%", tableLayout: "fixed" },
  cell: {
    textAlign: "left",
    verticalAlign: "top",
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalS}`,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    overflowWrap: "anywhere",
    whiteSpace: "pre-wrap",
    fontWeight: tokens.fontWeightRegular,
  },
  before: { backgroundColor: tokens.colorStatusDangerBackground1, color: tokens.colorStatusDangerForeground1 },
  after: { backgroundColor: tokens.colorStatusSuccessBackground1, color: tokens.colorStatusSuccessForeground1 },
  means: { display: "block", color: tokens.colorNeutralForeground2, fontSize: tokens.fontSizeBase200 },
  inherit: { color: "inherit" },
  compare: { display: "block", marginTop: tokens.spacingVerticalXS, whiteSpace: "nowrap" },
  raw: {
    margin: 0,
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    fontSize: tokens.fontSizeBase200,
    fontFamily: tokens.fontFamilyMonospace,
  },
  list: {
    listStyle: "none",
    margin: 0,
    padding: 0,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalXS,
  },
  link: { justifyContent: "flex-start", textAlign: "left", width: "100%", overflowWrap: "anywhere", minWidth: 0 },
});

interface DetailsProps {
  id: string;
  close: () => void;
  show: (id: string) => void;
  narrow: (field: FieldName, value: string, not: boolean) => void;
}

function one(id: string): Question {
  const asking = new Asking();
  return asking.question(`ConfigurationChange\n| where ChangeId == ${asking.value(id)}\n| take 1`);
}

export function Details({ id, close, show, narrow }: DetailsProps) {
  const styles = useStyles();
  const [tab, setTab] = useState("properties");
  const found = useQuery({
    queryKey: ["change", id],
    queryFn: async ({ signal }) => (await ask(one(id), signal)).rows.map(asChange)[0] ?? null,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const row = found.data;
  const tabs = row && (
    <TabList selectedValue={tab} onTabSelect={(_, { value }) => setTab(String(value))} size="small">
      <Tab value="properties">Properties</Tab>
      <Tab value="history">History</Tab>
      <Tab value="machines">Other machines</Tab>
      <Tab value="raw">Record</Tab>
    </TabList>
  );
  return (
    <Drawer of="Change" title={row ? <Name text={itemName(row)} /> : "Change"} tabs={tabs} close={close}>
      {found.isPending && <Spinner label="Looking it up" />}
      {found.error && <Problem error={found.error} again={() => void found.refetch()} />}
      {row === null && (
        <Text>
          There is no such change, or it belongs to a machine that you may not see. Its record may be over its time.
        </Text>
      )}
      {row && tab === "properties" && <Properties row={row} narrow={narrow} />}
      {row && tab === "history" && <History row={row} show={show} />}
      {row && tab === "machines" && <Elsewhere row={row} show={show} />}
      {row && tab === "raw" && <pre className={styles.raw}>{visibleLines(JSON.stringify(filled(row), null, 2))}</pre>}
    </Drawer>
  );
}

const filled = (row: Change) =>
  Object.fromEntries(
    Object.entries(row as Record<string, Value>).filter(([, value]) => value !== null && value !== ""),
  );

function Properties({ row, narrow }: { row: Change; narrow: DetailsProps["narrow"] }) {
  const styles = useStyles();
  const known = properties(row);
  const between = row.PreviousSeen ? `, after ${whenText(row.PreviousSeen)}` : "";
  const process = [row.InitiatingProcessName, row.InitiatingProcessId ? `(${row.InitiatingProcessId})` : ""]
    .filter(Boolean)
    .join(" ");
  const login = row.InitiatingProcessLoginAccountName;
  const facts: [string, string][] = [
    ["What", whatChanged(row)],
    ["Kind", kindText(row.ConfigChangeType)],
    ["Machine", row.Computer ?? ""],
    ["Exact path", row.PathBytes ? quoted(row.PathBytes) : ""],
    ["Detected", `${whenText(row.TimeGenerated)}${between} (${row.DetectedBy})`],
    ["Program", [process, row.InitiatingProcessCommandLine].filter(Boolean).join(": ")],
    ["Account", [row.InitiatingProcessAccountName, login && `signed in as ${login}`].filter(Boolean).join(", ")],
    ["Started by", [row.InitiatingProcessParentName, row.InitiatingProcessService].filter(Boolean).join(", in ")],
    ["Explained by", row.ExplainedBy ?? ""],
    ["Rules", (row.RuleName ?? "").split(",").join(", ")],
  ];
  return (
    <>
      <div>
        <Category value={row.ChangeCategory} />
      </div>
      <Facts facts={facts.map(([name, value]) => [name, visibleLines(value)])} />
      <div>
        <Button size="small" onClick={() => narrow("item", itemName(row), false)}>
          Only this item
        </Button>{" "}
        <Button size="small" onClick={() => narrow("item", itemName(row), true)}>
          Not this item
        </Button>{" "}
        <Button size="small" onClick={() => narrow("machine", row.Computer ?? "", false)}>
          Only this machine
        </Button>
      </div>
      <table className={styles.table}>
        <thead>
          <tr>
            <th className={styles.cell} scope="col">
              Property
            </th>
            <th className={styles.cell} scope="col">
              Before
            </th>
            <th className={styles.cell} scope="col">
              After
            </th>
          </tr>
        </thead>
        <tbody>
          {known.map((property) => (
            <PropertyRow key={property.name} property={property} />
          ))}
        </tbody>
      </table>
    </>
  );
}

function PropertyRow({ property }: { property: Property }) {
  const styles = useStyles();
  const [compared, setCompared] = useState(false);
  const { name, before, after, changed, beforeMeans, afterMeans } = property;
  const means = mergeClasses(styles.means, changed && styles.inherit);
  return (
    <tr data-changed={changed}>
      <th scope="row" className={styles.cell}>
        {changed ? <Text weight="semibold">{name}</Text> : name}
        {isLong(property) && (
          <Button size="small" className={styles.compare} onClick={() => setCompared(true)}>
            Show difference
          </Button>
        )}
        {compared && (
          <Suspense fallback={<Spinner size="tiny" label="Loading" />}>
            <Difference
              of={name}
              before={written(before, beforeMeans)}
              after={written(after, afterMeans)}
              close={() => setCompared(false)}
            />
          </Suspense>
        )}
      </th>
      <td className={mergeClasses(styles.cell, changed && styles.before)}>
        {visibleLines(before)}
        {before && beforeMeans && <span className={means}>{beforeMeans}</span>}
      </td>
      <td className={mergeClasses(styles.cell, changed && styles.after)}>
        {visibleLines(after)}
        {after && afterMeans && <span className={means}>{afterMeans}</span>}
      </td>
    </tr>
  );
}

/** A value as it is compared: what it means first, line by line, then how it is written. */
const written = (value: string, means: string) => (value && means ? `${means}\n\n${value}` : value);

/** What is the same item: of its kind, by its name. */
function sameItem(asking: Asking, row: Change): string {
  const kind = asking.value(row.ConfigChangeType ?? "");
  const item = asking.value(itemName(row));
  return `ConfigChangeType == ${kind} and (${ITEM} == ${item} or PreviousFileSystemPath == ${item})`;
}

function history(row: Change): Question {
  const asking = new Asking();
  const machine = asking.value(row.SourceComputerId ?? "");
  const same = sameItem(asking, row);
  return asking.question(
    `ConfigurationChange\n| where SourceComputerId == ${machine} and ${same}\n| order by TimeGenerated desc, ChangeId desc\n| take 200`,
  );
}

/** What an item is after a change, so that the same change elsewhere ends with the same. */
const OUTCOMES = [
  "ChangeCategory",
  "SvcChangeType",
  "FileContentChecksum",
  "Attributes",
  "Current",
  "ValueData",
  "SvcState",
  "SvcStartupType",
  "SvcRunlevels",
] as const;

function elsewhere(row: Change): Question {
  const asking = new Asking();
  const machine = asking.value(row.SourceComputerId ?? "");
  const same = sameItem(asking, row);
  const outcome = OUTCOMES.map((name) => `${name} == ${asking.value(row[name] ?? "")}`).join(" and ");
  return asking.question(
    `ConfigurationChange\n| where SourceComputerId != ${machine} and ${same} and ${outcome}\n` +
      "| summarize arg_max(TimeGenerated, *) by SourceComputerId\n| order by TimeGenerated desc\n| take 500",
  );
}

function History({ row, show }: { row: Change; show: (id: string) => void }) {
  return (
    <Others of="history" question={history(row)} row={row} show={show} none="This is the only change of the item." />
  );
}

function Elsewhere({ row, show }: { row: Change; show: (id: string) => void }) {
  return (
    <Others
      of="machines"
      question={elsewhere(row)}
      row={row}
      show={show}
      none="No other machine has had this change."
    />
  );
}

interface OthersProps {
  of: "history" | "machines";
  question: Question;
  row: Change;
  show: (id: string) => void;
  none: string;
}

function Others({ of, question, row, show, none }: OthersProps) {
  const styles = useStyles();
  const found = useQuery({
    queryKey: ["others", of, row.ChangeId],
    queryFn: async ({ signal }) => (await ask(question, signal)).rows.map(asChange),
  });
  if (found.isPending) return <Spinner label="Looking" />;
  if (found.error) return <Problem error={found.error} again={() => void found.refetch()} />;
  const others = found.data.filter((other) => of === "history" || other.ChangeId !== row.ChangeId);
  if (!others.some((other) => other.ChangeId !== row.ChangeId)) return <Text>{none}</Text>;
  return (
    <ul className={styles.list}>
      {others.map((other) => (
        <li key={other.ChangeId}>
          <Button
            appearance={other.ChangeId === row.ChangeId ? "secondary" : "subtle"}
            className={styles.link}
            aria-current={other.ChangeId === row.ChangeId}
            onClick={() => show(other.ChangeId ?? "")}
          >
            {whenText(other.TimeGenerated)}
            {of === "machines" ? ` · ${other.Computer}` : ""} · {other.ChangeCategory} · {visible(whatChanged(other))}
          </Button>
        </li>
      ))}
    </ul>
  );
}
