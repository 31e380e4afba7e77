import { Button, makeStyles, Subtitle2, Text, tokens } from "@fluentui/react-components";
import { visible } from "../../text";
import { added, get, isObject, type Json, type Path, placeOf, remove, resolve } from "../document";
import type { FieldSpec } from "../fields";
import { type RuleSource, systemOf } from "../rules";
import { FieldInput } from "./FieldInput";
import type { Finding } from "./findings";

const useStyles = makeStyles({
  form: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalM },
  list: { listStyle: "none", margin: 0, padding: 0 },
  line: {
    display: "flex",
    justifyContent: "space-between",
    alignItems: "center",
    columnGap: tokens.spacingHorizontalM,
    padding: `${tokens.spacingVerticalXS} 0`,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    overflowWrap: "anywhere",
  },
  remove: { flexShrink: 0 },
  bar: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalS },
});

const ABOUT: FieldSpec = {
  names: ["description"],
  label: "Description",
  hint: "For people.",
  kind: "text",
  fallback: "",
};
const STREAMS = ["Microsoft-ConfigurationChange", "Microsoft-ConfigurationChangeV2", "Microsoft-ConfigurationData"];
const SYSTEMS = ["Windows", "Linux"];

/** Where the rule's properties stand: around the data sources. */
function propertiesOf(document: Json, sources: RuleSource[]): Path {
  const first = sources[0];
  if (first) {
    const path = resolve(document, first.place);
    const at = path.findIndex((step) => typeof step === "string" && /^data_?sources$/i.test(step));
    if (at >= 0) return path.slice(0, at);
  }
  return isObject(get(document, ["dataSources"])) ? [] : ["properties"];
}

interface BasicsProps {
  document: Json;
  sources: RuleSource[];
  findings: Finding[];
  change: (document: Json) => void;
}

/** What the rule is, and its data sources. */
export function Basics({ document, sources, findings, change }: BasicsProps) {
  const styles = useStyles();
  const properties = propertiesOf(document, sources);
  const list = placeOf(document, [...placeOf(document, properties, ["dataSources"])], ["extensions"]);
  const missing = SYSTEMS.filter((system) => !sources.some((source) => systemOf(source) === system));
  return (
    <div className={styles.form}>
      <FieldInput field={ABOUT} document={document} holder={properties} findings={findings} change={change} />
      <Subtitle2 as="h2">Data sources</Subtitle2>
      {sources.length === 0 && <Text>None for change tracking: the rule collects nothing.</Text>}
      <ul className={styles.list} aria-label="Data sources">
        {sources.map((source) => (
          <li key={source.place} className={styles.line}>
            <span>
              {visible(source.name)} ({visible(source.extensionName)})
            </span>
            <Button
              size="small"
              className={styles.remove}
              aria-label={`Remove ${visible(source.name)}`}
              onClick={() => change(remove(document, resolve(document, source.place).slice(0, -1)))}
            >
              Remove
            </Button>
          </li>
        ))}
      </ul>
      <div className={styles.bar}>
        {missing.map((system) => (
          <Button
            key={system}
            onClick={() =>
              change(
                added(
                  document,
                  list.slice(0, -1),
                  [String(list.at(-1))],
                  [
                    {
                      name: `CTDataSource-${system}`,
                      extensionName: `ChangeTracking-${system}`,
                      streams: STREAMS,
                      extensionSettings: {},
                    },
                  ],
                ),
              )
            }
          >
            Add data source {system}
          </Button>
        ))}
      </div>
    </div>
  );
}
