import { Button, makeStyles, SearchBox, Subtitle1, Text, tokens } from "@fluentui/react-components";
import { AddRegular, ArrowClockwiseRegular, ArrowImportRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useFilter } from "../filter/useFilter";
import { Card } from "../grid/Card";
import { type Column, Grid } from "../grid/Grid";
import { List } from "../grid/List";
import { go, usePlace } from "../location";
import { agoText } from "../moments";
import { Heading } from "../shell/Heading";
import type { PageProps } from "../shell/page";
import { visible } from "../text";
import { RuleEditor } from "./editor/RuleEditor";
import { NewRule } from "./NewRule";
import { RuleDetails } from "./RuleDetails";
import { type Association, collects, findings, type Known, known, mayEdit, type Rule } from "./rules";

const useStyles = makeStyles({
  bar: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: tokens.spacingHorizontalS,
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  search: { flexGrow: 1, minWidth: "10rem", maxWidth: "24rem" },
  empty: {
    maxWidth: "42rem",
    margin: "0 auto",
    padding: tokens.spacingHorizontalXL,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalM,
  },
});

function associatedText(mine: Association[]): string {
  const groups = mine.filter((one) => one.group).length;
  const machines = mine.length - groups;
  const words = [
    machines ? `${machines} machine${machines > 1 ? "s" : ""}` : "",
    groups ? `${groups} group${groups > 1 ? "s" : ""}` : "",
  ];
  return words.filter(Boolean).join(", ") || "nothing";
}

export function forceText(rule: Rule): string {
  return rule.machines ? `${rule.confirmed ?? 0} of ${rule.machines} machines` : "nowhere";
}

function columnsOf(all: Known): Column<Rule>[] {
  const of = (rule: Rule) => all.associations.filter((one) => one.rule === rule.name);
  return [
    { id: "name", label: "Rule", width: "minmax(8rem, 2fr)", text: (rule) => rule.name },
    { id: "description", label: "Description", width: "minmax(8rem, 3fr)", text: (rule) => rule.description },
    { id: "collects", label: "Collects", width: "minmax(9rem, 3fr)", text: (rule) => collects(rule.sources) },
    { id: "associated", label: "Associated with", width: "10rem", text: (rule) => associatedText(of(rule)) },
    { id: "force", label: "In force", width: "9.5rem", text: forceText },
    { id: "findings", label: "Findings", width: "8.5rem", text: (rule) => findings(rule.problems) || "none" },
    {
      id: "changed",
      label: "Last changed",
      width: "minmax(9rem, 1fr)",
      text: (rule) => [agoText(rule.updatedAt), rule.updatedBy && `by ${rule.updatedBy}`].filter(Boolean).join(" "),
    },
  ];
}

export default function Rules({ session }: PageProps) {
  const styles = useStyles();
  const { path, query } = usePlace();
  const { filter, set } = useFilter();
  const [making, setMaking] = useState<"new" | "import" | null>(null);
  const [text, setText] = useState(filter.text);
  useEffect(() => setText(filter.text), [filter.text]);
  useEffect(() => {
    if (text === filter.text) return;
    const soon = window.setTimeout(() => set({ ...filter, text }, true), 300);
    return () => window.clearTimeout(soon);
  });
  const found = useQuery({ queryKey: ["rules"], queryFn: ({ signal }) => known(signal), refetchInterval: 15_000 });
  const all = found.data;
  const shown = useMemo(() => {
    const part = filter.text.toLowerCase();
    return (all?.rules ?? []).filter((rule) =>
      [rule.name, rule.description, collects(rule.sources)].some((one) => one.toLowerCase().includes(part)),
    );
  }, [all, filter.text]);
  const lines = useMemo(() => shown.map((rule) => ({ key: rule.name, row: rule })), [shown]);
  const columns = useMemo(() => (all ? columnsOf(all) : []), [all]);

  const visit = (name: "id" | "edit", value: string | null) => {
    const next = new URLSearchParams(query);
    next.delete("id");
    next.delete("edit");
    if (value !== null) next.set(name, value);
    go(path, next);
  };
  const edited = query.get("edit");
  if (edited !== null && mayEdit(session)) {
    return (
      <>
        <Heading>{`Rule ${visible(edited)}`}</Heading>
        <RuleEditor key={edited} name={edited} machines={all?.machines ?? []} close={(to) => visit("id", to)} />
      </>
    );
  }
  const selected = query.get("id");
  const chosen = all?.rules.find((rule) => rule.name === selected);

  return (
    <>
      <Heading>Rules</Heading>
      <div className={styles.bar} role="toolbar" aria-label="Rules">
        {mayEdit(session) && (
          <>
            <Button icon={<AddRegular />} appearance="primary" onClick={() => setMaking("new")}>
              New
            </Button>
            <Button icon={<ArrowImportRegular />} onClick={() => setMaking("import")}>
              Import
            </Button>
          </>
        )}
        <Button icon={<ArrowClockwiseRegular />} disabled={found.isFetching} onClick={() => void found.refetch()}>
          Refresh
        </Button>
        <SearchBox
          className={styles.search}
          placeholder="Name, description, what it collects"
          aria-label="Filter by text"
          value={text}
          onChange={(_, { value }) => setText(value)}
        />
      </div>
      {making && all && (
        <NewRule
          from={making}
          taken={all.rules.map((rule) => rule.name.toLowerCase())}
          close={() => setMaking(null)}
          edit={(name) => visit("edit", name)}
        />
      )}
      <List
        asked={found}
        looking="Looking for rules"
        status={all ? `${shown.length} of ${all.rules.length} rules` : ""}
        beside={
          all &&
          chosen && (
            <RuleDetails
              key={chosen.name}
              rule={chosen}
              all={all}
              session={session}
              close={() => visit("id", null)}
              edit={() => visit("edit", chosen.name)}
            />
          )
        }
      >
        {all && !shown.length && (
          <section className={styles.empty} aria-label="Why this is empty">
            <Subtitle1 as="h2">No rules here</Subtitle1>
            {all.rules.length ? (
              <Text>
                There are {all.rules.length} rules, and the filter lets none of them through.{" "}
                <Button size="small" onClick={() => set({ ...filter, text: "" })}>
                  Clear the filter
                </Button>
              </Text>
            ) : (
              <Text>
                Without a data collection rule nothing is collected.{" "}
                {mayEdit(session)
                  ? "New makes one from a template, Import takes one of Azure's as it is; then associate it with machines or groups."
                  : "A Contributor of all groups makes one."}
              </Text>
            )}
          </section>
        )}
        {all && shown.length > 0 && (
          <Grid
            label="Rules"
            columns={columns}
            lines={lines}
            narrow={() => undefined}
            selected={selected ?? undefined}
            open={(rule) => visit("id", rule.name)}
            card={(rule) => (
              <Card name={rule.name} facts={[forceText(rule), findings(rule.problems), collects(rule.sources)]} />
            )}
          />
        )}
      </List>
    </>
  );
}
