import {
  Button,
  Dropdown,
  Field,
  Input,
  makeStyles,
  Option,
  Popover,
  PopoverSurface,
  PopoverTrigger,
  SearchBox,
  Tag,
  TagGroup,
  tokens,
} from "@fluentui/react-components";
import { CalendarRegular } from "@fluentui/react-icons";
import { type ReactNode, useEffect, useState } from "react";
import { visible } from "../text";
import { FIELDS, isLocal, type Table, WINDOWS, type Window, without, zoneOf } from "./filter";
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
  time: { minWidth: "9rem" },
  tags: { flexWrap: "wrap", maxWidth: "100%" },
  tag: { maxWidth: "100%" },
  span: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalS },
});

/** `<input type=datetime-local>` speaks of local time without saying so. */
function local(text: string): string {
  if (!text) return "";
  const time = new Date(text);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const absolute = (text: string) => (text ? new Date(text).toISOString() : "");

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
  const spanned = Boolean(filter.from || filter.to);
  const shownTime = spanned ? "From … to …" : WINDOWS[filter.window];

  return (
    <search className={styles.bar}>
      <SearchBox
        className={styles.search}
        placeholder="Path, name, publisher, machine"
        aria-label="Filter by text"
        value={text}
        onChange={(_, { value }) => setText(value)}
      />
      {timed && (
        <>
          <Dropdown
            className={styles.time}
            aria-label="Time"
            value={shownTime}
            selectedOptions={spanned ? [] : [filter.window]}
            onOptionSelect={(_, { optionValue }) =>
              set({ ...filter, window: (optionValue ?? "24h") as Window, from: "", to: "" })
            }
          >
            {Object.entries(WINDOWS).map(([name, label]) => (
              <Option key={name} value={name}>
                {label}
              </Option>
            ))}
          </Dropdown>
          <Popover trapFocus>
            <PopoverTrigger disableButtonEnhancement>
              <Button appearance="subtle" icon={<CalendarRegular />} aria-label="From … to …" />
            </PopoverTrigger>
            <PopoverSurface className={styles.span} aria-label="From … to …">
              <Field label="From">
                <Input
                  type="datetime-local"
                  value={local(filter.from)}
                  onChange={(_, { value }) => set({ ...filter, from: absolute(value) }, true)}
                />
              </Field>
              <Field label="To">
                <Input
                  type="datetime-local"
                  value={local(filter.to)}
                  onChange={(_, { value }) => set({ ...filter, to: absolute(value) }, true)}
                />
              </Field>
            </PopoverSurface>
          </Popover>
        </>
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
