/** A condition of the filter: which field, which of its values. */
import {
  Button,
  Checkbox,
  Field,
  makeStyles,
  Popover,
  PopoverSurface,
  PopoverTrigger,
  Radio,
  RadioGroup,
  SearchBox,
  Select,
  Spinner,
  Text,
  tokens,
} from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, type ReactElement, useEffect, useState } from "react";
import { numberText } from "../moments";
import { Name } from "../states/Name";
import { Problem } from "../states/Problem";
import { type Condition, FIELDS, type FieldName, fieldsOf, replaced, type Table, Written } from "./filter";
import { useFilter } from "./useFilter";
import { MOST_VALUES, type Scope, valuesOf } from "./values";

const useStyles = makeStyles({
  form: {
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalS,
    width: "min(22rem, calc(100vw - 4rem))",
  },
  values: { display: "flex", flexDirection: "column", maxHeight: "min(18rem, 40vh)", overflowY: "auto" },
  value: { overflowWrap: "anywhere" },
  count: { color: tokens.colorNeutralForeground2, marginLeft: tokens.spacingHorizontalS },
  buttons: { display: "flex", columnGap: tokens.spacingHorizontalS },
});

interface ConditionFormProps {
  table: Table;
  timed: boolean;
  scope: Scope;
  /** The condition that is changed; none: one is added. */
  of?: Condition;
  /** What opens the form. */
  children: ReactElement;
}

export function ConditionForm({ children, ...given }: ConditionFormProps) {
  const [open, setOpen] = useState(false);
  const label = given.of ? `Condition: ${FIELDS[given.of.field].label}` : "Add a condition";
  return (
    <Popover trapFocus open={open} onOpenChange={(_, data) => setOpen(data.open)} positioning="below-start">
      <PopoverTrigger disableButtonEnhancement>{children}</PopoverTrigger>
      <PopoverSurface aria-label={label}>
        <Form {...given} close={() => setOpen(false)} />
      </PopoverSurface>
    </Popover>
  );
}

function Form({ table, timed, scope, of, close }: Omit<ConditionFormProps, "children"> & { close: () => void }) {
  const styles = useStyles();
  const { filter, set } = useFilter();
  const [field, setField] = useState<FieldName>(of?.field ?? (fieldsOf(table)[0] as FieldName));
  const [not, setNot] = useState(of?.not ?? false);
  /** The values of a condition that there is; another one of its kind cannot stand beside it. */
  const there = (name: FieldName, negated: boolean) =>
    filter.conditions.find((one) => one.field === name && one.not === negated)?.values ?? [];
  const [chosen, setChosen] = useState<string[]>(of?.values ?? there(field, not));
  const [part, setPart] = useState("");
  const [asked, setAsked] = useState("");
  useEffect(() => {
    const soon = window.setTimeout(() => setAsked(part), 300);
    return () => window.clearTimeout(soon);
  }, [part]);
  const found = useQuery({
    queryKey: ["values", field, table, scope(new Written()), filter, asked],
    queryFn: ({ signal }) => valuesOf(field, table, filter, { scope, timed, part: asked }, signal),
    // Of the same field only.
    placeholderData: (former, query) => (query?.queryKey[1] === field ? former : undefined),
  });
  const counts = new Map(found.data?.map(({ value, rows }) => [value, rows]));
  const whole = found.isSuccess && !found.isPlaceholderData && asked === part && counts.size < MOST_VALUES;
  const countText = (value: string) => {
    const rows = counts.get(value);
    if (rows !== undefined) return numberText(rows);
    return whole && value.toLowerCase().includes(part.toLowerCase()) ? "none here" : "";
  };
  // What was chosen stays in sight, and what was typed may be what is not there yet.
  const offered = [...new Set([...chosen, ...counts.keys(), ...(part ? [part] : [])])];

  const apply = (event: FormEvent) => {
    event.preventDefault();
    if (!chosen.length) return;
    set(replaced(filter, of ?? null, { field, not, values: chosen }));
    close();
  };
  return (
    <form className={styles.form} onSubmit={apply}>
      {!of && (
        <Field label="Field">
          <Select
            value={field}
            onChange={(_, { value }) => {
              setField(value as FieldName);
              setChosen(there(value as FieldName, not));
              setPart("");
              setAsked("");
            }}
          >
            {fieldsOf(table).map((name) => (
              <option key={name} value={name}>
                {FIELDS[name].label}
              </option>
            ))}
          </Select>
        </Field>
      )}
      <RadioGroup
        layout="horizontal"
        aria-label="Which"
        value={not ? "not" : "is"}
        onChange={(_, { value }) => {
          const negated = value === "not";
          const own = of ? chosen : chosen.filter((one) => !there(field, not).includes(one));
          setNot(negated);
          setChosen([...new Set([...there(field, negated), ...own])]);
        }}
      >
        <Radio value="is" label="is any of" />
        <Radio value="not" label="is none of" />
      </RadioGroup>
      <SearchBox
        aria-label="Find or type a value"
        placeholder="Find or type a value"
        value={part}
        onChange={(_, { value }) => setPart(value)}
      />
      {found.error && <Problem error={found.error} again={() => void found.refetch()} />}
      {found.isPending && <Spinner size="tiny" label="Looking for values" />}
      {found.isSuccess && !offered.length && <Text>There are none here.</Text>}
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset cannot scroll everywhere */}
      <div role="group" aria-label="Values" className={styles.values}>
        {offered.map((value) => (
          <Checkbox
            key={value}
            className={styles.value}
            checked={chosen.includes(value)}
            onChange={(_, { checked }) =>
              setChosen(checked ? [...chosen, value] : chosen.filter((other) => other !== value))
            }
            label={
              <>
                {value ? <Name text={value} /> : "(nothing)"}{" "}
                <Text size={200} className={styles.count}>
                  {countText(value)}
                </Text>
              </>
            }
          />
        ))}
      </div>
      <div className={styles.buttons}>
        <Button type="submit" appearance="primary" disabled={!chosen.length}>
          Apply
        </Button>
        <Button type="button" onClick={close}>
          Cancel
        </Button>
      </div>
    </form>
  );
}
