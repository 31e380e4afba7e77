import { Input, makeStyles, Tab, TabList, Text, tokens } from "@fluentui/react-components";
import { useCallback } from "react";
import { FilterBar } from "../filter/FilterBar";
import { type Asking, fieldsOf } from "../filter/filter";
import { useFilter } from "../filter/useFilter";
import { go, usePlace } from "../location";
import { Heading } from "../shell/Heading";
import { ExportButton, ExportProgress, useExport } from "./Export";
import { Groups } from "./Groups";
import { Items } from "./Items";
import { whole } from "./items";
import { exportedColumns, FIRST, KINDS, ofGroups } from "./kinds";

const useStyles = makeStyles({
  kinds: { backgroundColor: tokens.colorNeutralBackground1, overflowX: "auto", flexShrink: 0 },
});

/** Everything once, by name and version; item by item where the filter asks for what is not counted so. */
export default function Inventory() {
  const styles = useStyles();
  const { path, query } = usePlace();
  const { filter } = useFilter();
  const named = query.get("kind") ?? FIRST;
  const kind = named in KINDS ? named : FIRST;
  const at = query.get("at") ?? "";
  const exporting = useExport({ kind, at, filter, columns: exportedColumns(kind) });

  const place = (changes: Record<string, string | null>, replace = false) => {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) {
      if (value) next.set(name, value);
      else next.delete(name);
    }
    go(path, next, replace);
  };
  const scope = useCallback((asking: Asking) => whole(asking, kind, at), [kind, at]);
  // What is not counted by name and version is looked for item by item.
  const single = filter.conditions.some(
    ({ field }) => fieldsOf("ConfigurationData").includes(field) && !ofGroups(kind, field),
  );
  const List = single ? Items : Groups;

  return (
    <>
      <Heading>Inventory</Heading>
      <FilterBar table="ConfigurationData" timed={false} scope={scope}>
        <Input
          type="date"
          aria-label="As of"
          contentBefore={<Text size={200}>As of</Text>}
          value={at.slice(0, 10)}
          // The end of that day, here.
          onChange={(_, { value }) =>
            place({ at: value ? new Date(`${value}T23:59:59.999`).toISOString() : null, item: null })
          }
        />
        <ExportButton {...exporting} />
      </FilterBar>
      <TabList
        className={styles.kinds}
        selectedValue={kind}
        onTabSelect={(_, { value }) => place({ kind: String(value), item: null, sort: null, columns: null })}
        size="small"
      >
        {Object.entries(KINDS).map(([name, { label }]) => (
          <Tab key={name} value={name}>
            {label}
          </Tab>
        ))}
      </TabList>
      <ExportProgress {...exporting} />
      <List
        key={kind}
        kind={kind}
        label={KINDS[kind]?.label ?? ""}
        at={at}
        filter={filter}
        query={query}
        place={place}
      />
    </>
  );
}
