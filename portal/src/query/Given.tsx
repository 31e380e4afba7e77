/** Values of the parameters that a query declares. */
import { Field, Input, makeStyles, tokens } from "@fluentui/react-components";
import { visible } from "../text";
import type { Declared } from "./ask";

const useStyles = makeStyles({
  line: {
    display: "flex",
    flexWrap: "wrap",
    gap: tokens.spacingHorizontalM,
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
  },
});

interface GivenProps {
  declared: Declared[];
  given: Record<string, string>;
  give: (name: string, value: string) => void;
  run: () => void;
}

export function Given({ declared, given, give, run }: GivenProps) {
  const styles = useStyles();
  if (!declared.length) return null;
  return (
    <section className={styles.line} aria-label="Parameters">
      {declared.map(({ name, type, default: usual }) => (
        <Field key={name} label={`${visible(name)} (${type})`} size="small" required={usual === null}>
          <Input
            size="small"
            value={given[name] ?? ""}
            placeholder={usual ?? ""}
            onChange={(_, { value }) => give(name, value)}
            onKeyDown={(event) => event.key === "Enter" && run()}
          />
        </Field>
      ))}
    </section>
  );
}
