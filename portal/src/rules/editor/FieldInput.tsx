import { Dropdown, Field, Input, makeStyles, Option, Switch, Text, Textarea, tokens } from "@fluentui/react-components";
import { visible } from "../../text";
import { get, isObject, type Json, keysOf, type Path, placeOf, remove, set } from "../document";
import { asBoolean, asChoice, type FieldSpec } from "../fields";
import type { Finding } from "./findings";

const useStyles = makeStyles({
  number: { maxWidth: "14rem" },
  about: { color: tokens.colorNeutralForeground2, display: "block" },
});

interface FieldInputProps {
  field: FieldSpec;
  document: Json;
  /** Where the object stands whose field it is. */
  holder: Path;
  findings: Finding[];
  change: (document: Json) => void;
  unit?: string;
}

/** One field, changed in place under the spelling that the document has; what the server finds stands below it. */
export function FieldInput({ field, document, holder, findings, change, unit }: FieldInputProps) {
  const styles = useStyles();
  const place = placeOf(document, holder, field.names);
  const value = get(document, place);
  const wrong = findings.find((one) => place.every((step, at) => one.path[at] === step));
  const state = wrong ? (wrong.severity === "error" ? "error" : "warning") : "none";
  const said = wrong ? visible(wrong.message) : null;
  const put = (next: Json) => {
    const holding = get(document, holder);
    const others = keysOf(isObject(holding) ? holding : {}, field.also ?? []);
    let changed = set(document, place, next);
    for (const key of others) changed = set(changed, [...holder, key], next);
    change(changed);
  };
  const common = {
    label: field.label,
    hint: field.hint,
    required: field.required ?? false,
    validationState: state,
    validationMessage: said,
  } as const;

  switch (field.kind) {
    case "boolean":
      return (
        <Field hint={field.hint} validationState={state} validationMessage={said}>
          <Switch
            label={field.label}
            checked={asBoolean(value, Boolean(field.fallback))}
            onChange={(_, { checked }) => put(checked)}
          />
        </Field>
      );
    case "choice": {
      const also = keysOf(get(document, holder), field.also ?? [])[0];
      const shown = asChoice(value ?? (also ? get(document, [...holder, also]) : undefined), field);
      return (
        <Field {...common}>
          <Dropdown
            className={styles.number}
            value={visible(shown)}
            selectedOptions={[shown]}
            onOptionSelect={(_, { optionValue }) => optionValue && put(optionValue)}
          >
            {field.choices?.map((choice) => (
              <Option key={choice} value={choice}>
                {choice}
              </Option>
            ))}
          </Dropdown>
        </Field>
      );
    }
    case "lines": {
      const lines = Array.isArray(value)
        ? value.map(String)
        : value === undefined || value === null
          ? []
          : [String(value)];
      return (
        <Field {...common}>
          <Textarea
            value={lines.join("\n")}
            rows={2}
            resize="vertical"
            spellCheck={false}
            onChange={(_, { value: text }) => (text ? put(text.split("\n")) : change(remove(document, place)))}
          />
        </Field>
      );
    }
    case "number":
      return (
        <Field {...common}>
          <Input
            className={styles.number}
            inputMode="decimal"
            value={value === undefined || value === null ? "" : String(value)}
            placeholder={`${field.fallback} (default)`}
            contentAfter={unit ? <Text size={200}>{unit}</Text> : null}
            onChange={(_, { value: text }) => {
              const trimmed = text.trim();
              if (!trimmed) change(remove(document, place));
              else put(/^\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : text);
            }}
          />
        </Field>
      );
    default:
      return (
        <Field {...common}>
          <Input
            value={value === undefined || value === null ? "" : String(value)}
            spellCheck={false}
            autoComplete="off"
            onChange={(_, { value: text }) => put(text)}
          />
        </Field>
      );
  }
}
