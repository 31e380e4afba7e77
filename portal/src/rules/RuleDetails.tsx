import { Badge, Button, makeStyles, Spinner, Subtitle2, Tab, TabList, Text, tokens } from "@fluentui/react-components";
import { ArrowExportRegular, DeleteRegular, EditRegular } from "@fluentui/react-icons";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Session } from "../api/client";
import { download } from "../files";
import { whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Problem } from "../states/Problem";
import { Sheet } from "../states/Sheet";
import { visible, visibleLines } from "../text";
import { Associations } from "./Associations";
import { exact } from "./document";
import { History } from "./History";
import {
  documentOf,
  drop,
  type Known,
  rule as load,
  mayEdit,
  type Rule,
  type RuleProblem,
  systemOf,
  textOf,
} from "./rules";

const useStyles = makeStyles({
  actions: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalS },
  list: { margin: 0, paddingLeft: tokens.spacingHorizontalL, overflowWrap: "anywhere" },
  raw: {
    margin: 0,
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    fontSize: tokens.fontSizeBase200,
    fontFamily: tokens.fontFamilyMonospace,
  },
});

interface RuleDetailsProps {
  rule: Rule;
  all: Known;
  session: Session;
  close: () => void;
  edit: () => void;
}

export function RuleDetails({ rule, all, session, close, edit }: RuleDetailsProps) {
  const styles = useStyles();
  const client = useQueryClient();
  const [tab, setTab] = useState("overview");
  const [deleting, setDeleting] = useState(false);
  const whole = useQuery({
    queryKey: ["rule", rule.name, rule.etag],
    queryFn: ({ signal }) => load(rule.name, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const removal = useMutation({
    mutationFn: () => drop(rule),
    onSuccess: () => {
      close();
      void client.invalidateQueries({ queryKey: ["rules"] });
    },
  });
  const exporting = useMutation({
    mutationFn: async () => {
      exact(documentOf(whole.data ?? {}));
      const content = `${textOf(whole.data ?? {})}\n`;
      download(`${rule.name}.json`, new Blob([content], { type: "application/json;charset=utf-8" }));
    },
  });
  const associations = all.associations.filter((one) => one.rule === rule.name);
  const tabs = (
    <TabList selectedValue={tab} onTabSelect={(_, { value }) => setTab(String(value))} size="small">
      <Tab value="overview">Overview</Tab>
      <Tab value="associations">Associations ({associations.length})</Tab>
      <Tab value="history">History</Tab>
      <Tab value="json">JSON</Tab>
    </TabList>
  );
  return (
    <Drawer of="Rule" title={visible(rule.name)} tabs={tabs} close={close}>
      <div className={styles.actions}>
        {mayEdit(session) && (
          <Button icon={<EditRegular />} onClick={edit}>
            Edit
          </Button>
        )}
        <Button icon={<ArrowExportRegular />} disabled={!whole.data} onClick={() => exporting.mutate()}>
          Export
        </Button>
        {mayEdit(session) && (
          <Button icon={<DeleteRegular />} onClick={() => setDeleting(true)}>
            Delete
          </Button>
        )}
      </div>
      {exporting.error && <Problem error={exporting.error} />}
      {whole.error && <Problem error={whole.error} again={() => void whole.refetch()} />}
      {tab === "overview" && <Overview rule={rule} />}
      {tab === "associations" && <Associations rule={rule} all={all} session={session} />}
      {tab === "history" && <History rule={rule} session={session} />}
      {tab === "json" && whole.isPending && <Spinner label="Fetching the document" />}
      {tab === "json" && whole.data && <pre className={styles.raw}>{visibleLines(textOf(whole.data))}</pre>}
      {deleting && (
        <Sheet
          title={`Delete ${visible(rule.name)}?`}
          action="Delete"
          cancel="Leave it as it is"
          act={() => removal.mutate()}
          close={() => setDeleting(false)}
          busy={removal.isPending}
        >
          <Text>
            The rule and its history are gone then; export it first if you may want it back. What was collected stays.
          </Text>
          {removal.error && <Problem error={removal.error} />}
          {removal.error && associations.length > 0 && (
            <Text>
              It is associated with {associations.length} machine
              {associations.length > 1 ? "s or groups" : " or group"}:{" "}
              <Button
                size="small"
                onClick={() => {
                  setDeleting(false);
                  removal.reset();
                  setTab("associations");
                }}
              >
                Show associations
              </Button>
            </Text>
          )}
        </Sheet>
      )}
    </Drawer>
  );
}

function Overview({ rule }: { rule: Rule }) {
  const styles = useStyles();
  const standing = rule.machines
    ? `${rule.confirmed ?? 0} of ${rule.machines} machines hold it as it is now`
    : "nowhere: associate it with machines or groups";
  const waiting = (rule.machines ?? 0) > (rule.confirmed ?? 0);
  return (
    <>
      <Facts
        facts={[
          ["Description", visible(rule.description)],
          [
            "In force",
            `${standing}${waiting ? "; the others take it when they ask, within a minute of being connected" : ""}`,
          ],
          [
            "Last changed",
            [whenText(rule.updatedAt), rule.updatedBy && `by ${visible(rule.updatedBy)}`].filter(Boolean).join(" "),
          ],
          ["Created", whenText(rule.createdAt)],
          ["Immutable id", rule.immutableId],
          ["ETag", rule.etag],
        ]}
      />
      <Subtitle2 as="h2">Data sources</Subtitle2>
      {rule.sources.length === 0 && <Text>None for change tracking: the rule collects nothing.</Text>}
      <ul className={styles.list}>
        {rule.sources.map((source) => (
          <li key={source.place}>
            {visible(source.name)} ({systemOf(source)}):{" "}
            {[
              `${source.files} file item${source.files === 1 ? "" : "s"}`,
              source.extensionName.endsWith("Windows")
                ? `${source.registry} registry item${source.registry === 1 ? "" : "s"}`
                : "",
              source.software ? "software" : "",
              source.services ? "services" : "",
              source.inventory ? "inventory" : "",
            ]
              .filter(Boolean)
              .join(", ")}
          </li>
        ))}
      </ul>
      <Subtitle2 as="h2">Findings</Subtitle2>
      {rule.problems.length === 0 && <Text>None: everything in it is understood.</Text>}
      <Findings problems={rule.problems} />
    </>
  );
}

const COLORS = { error: "danger", warning: "warning", note: "informative" } as const;
const SHOWN = 100;

export function Findings({ problems }: { problems: RuleProblem[] }) {
  const styles = useStyles();
  return (
    <>
      <ul className={styles.list}>
        {problems.slice(0, SHOWN).map((one, at) => (
          <li key={at}>
            <Badge appearance="tint" color={COLORS[one.severity as keyof typeof COLORS] ?? "informative"}>
              {one.severity}
            </Badge>{" "}
            {visible(one.place)}: {visible(one.message)}
          </li>
        ))}
      </ul>
      {problems.length > SHOWN && <Text>and {problems.length - SHOWN} more</Text>}
    </>
  );
}
