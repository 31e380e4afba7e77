import {
  Button,
  InteractionTag,
  InteractionTagPrimary,
  InteractionTagSecondary,
  makeStyles,
  SearchBox,
  TagGroup,
  tokens,
} from "@fluentui/react-components";
import { FilterAddRegular } from "@fluentui/react-icons";
import { type ReactNode, useEffect, useState } from "react";
import { visible } from "../text";
import { ConditionForm } from "./ConditionForm";
import { FIELDS, type FieldName, fieldsOf, isLocal, type Table, without, zoneOf } from "./filter";
import { TimeRange } from "./TimeRange";
import { useFilter } from "./useFilter";
import type { Scope } from "./values";

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
  words: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", minWidth: 0 },
});

interface FilterBarProps {
  table: Table;
  /** Whether the time of the filter means anything here. */
  timed?: boolean;
  /** Where on this page the conditions count; none: here nobody looks for values. */
  scope?: Scope;
  /** Fields that count here; none: all that the table has. */
  uses?: readonly FieldName[];
  children?: ReactNode;
}

/** `table`: conditions about what it does not have are shown as not used here. */
export function FilterBar({ table, timed = true, scope, uses = fieldsOf(table), children }: FilterBarProps) {
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
      {scope && (
        <ConditionForm table={table} timed={timed} scope={scope}>
          <Button appearance="subtle" icon={<FilterAddRegular />}>
            Add filter
          </Button>
        </ConditionForm>
      )}
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
          {filter.conditions.map((condition, at) => {
            const used = uses.includes(condition.field);
            const words = visible(
              `${FIELDS[condition.field].label}${isLocal(condition.field) ? ` (${zoneOf(filter)})` : ""} ${condition.not ? "is not" : "is"} ${condition.values.map((value) => value || "(nothing)").join(" or ")}`,
            );
            const key = `${condition.not}.${condition.field}`;
            const tag = (
              <InteractionTagPrimary hasSecondaryAction disabled={!used || !scope} className={styles.tag}>
                <span className={styles.words}>
                  {words}
                  {used ? "" : " (not used here)"}
                </span>
              </InteractionTagPrimary>
            );
            return (
              <InteractionTag
                // One that is changed to its contrary stays in its place, and keeps the focus.
                key={at}
                value={key}
                className={styles.tag}
                size="small"
                appearance={used ? "brand" : "outline"}
              >
                {used && scope ? (
                  <ConditionForm table={table} timed={timed} scope={scope} of={condition}>
                    {tag}
                  </ConditionForm>
                ) : (
                  tag
                )}
                <InteractionTagSecondary aria-label="Remove" />
              </InteractionTag>
            );
          })}
        </TagGroup>
      )}
    </search>
  );
}
