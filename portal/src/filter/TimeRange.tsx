/** The time of the filter: a stretch up to now, or from one moment to another. */
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
  tokens,
} from "@fluentui/react-components";
import { CalendarRegular } from "@fluentui/react-icons";
import { WINDOWS, type Window } from "./filter";
import { useFilter } from "./useFilter";

const useStyles = makeStyles({
  time: { minWidth: "9rem" },
  span: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalS },
});

/** `<input type=datetime-local>` speaks of local time without saying so. */
function local(text: string): string {
  if (!text) return "";
  const time = new Date(text);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const absolute = (text: string) => (text ? new Date(text).toISOString() : "");

interface TimeRangeProps {
  /** What it means here that the filter sets no time. */
  all?: string;
}

export function TimeRange({ all = WINDOWS.all }: TimeRangeProps) {
  const styles = useStyles();
  const { filter, set } = useFilter();
  const spanned = Boolean(filter.from || filter.to);
  const words = { ...WINDOWS, all };

  return (
    <>
      <Dropdown
        className={styles.time}
        aria-label="Time"
        value={spanned ? "From … to …" : words[filter.window]}
        selectedOptions={spanned ? [] : [filter.window]}
        onOptionSelect={(_, { optionValue }) =>
          set({ ...filter, window: (optionValue ?? "24h") as Window, from: "", to: "" })
        }
      >
        {Object.entries(words).map(([name, label]) => (
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
  );
}
