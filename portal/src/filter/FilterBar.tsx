import { makeStyles, SearchBox, Tag, TagGroup, tokens } from "@fluentui/react-components";
import { type ReactNode, useEffect, useState } from "react";
import { visible } from "../text";
import { FIELDS, isLocal, type Table, without, zoneOf } from "./filter";
import { TimeRange } from "./TimeRange";
import { useFilter } from "./useFilter";

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
  tags: { flexWrap: "wrap", maxWidth: "100%" },
  tag: { maxWidth: "100%" },
});

interface FilterBarProps {
  table: Table;
  /** Whether the time of the filter means anything here. */
  timed?: boolean;
  children?: ReactNode;
}

/** `table`: conditions about what it does not have are shown as not used here. */
export function FilterBar({ table, timed = true, children }: FilterBarProps) {
  const styles = useStyles();
  const { filter, set } = useFilter();
  const [text, setText] = useState(filter.text);
  useEffect(() => setText(filter.text), [filter.text]);
  useEffect(() => {
    if (text === filter.text) return;
    const soon = window.setTimeout(() => set({ ...filter, text }, true), 300);
    return () => window.clearTimeout(soon);
  });

  return (
    <search className={styles.bar}>
      <SearchBox
        className={styles.search}
        placeholder="Path, name, publisher, machine"
        aria-label="Filter by text"
        value={text}
        onChange={(_, { value }) => setText(value)}
      />
      {timed && <TimeRange />}
      {children}
      {filter.conditions.length > 0 && (
        <TagGroup
          className={styles.tags}
          aria-label="Conditions"
          onDismiss={(_, { value }) => {
            const found = filter.conditions.find((one) => `${one.not}.${one.field}` === value);
            if (found) set(without(filter, found.field, found.not));
          }}
        >
          {filter.conditions.map((condition) => {
            const used = table in FIELDS[condition.field].in;
            const words = visible(
              `${FIELDS[condition.field].label}${isLocal(condition.field) ? ` (${zoneOf(filter)})` : ""} ${condition.not ? "is not" : "is"} ${condition.values.map((value) => value || "(nothing)").join(" or ")}`,
            );
            return (
              <Tag
                key={`${condition.not}.${condition.field}`}
                value={`${condition.not}.${condition.field}`}
                className={styles.tag}
                size="small"
                appearance={used ? "brand" : "outline"}
                dismissible
                dismissIcon={{ "aria-label": `Remove: ${words}` }}
              >
                {words}
                {used ? "" : " (not used here)"}
              </Tag>
            );
          })}
        </TagGroup>
      )}
    </search>
  );
}
