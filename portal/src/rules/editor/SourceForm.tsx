import { makeStyles, Tab, TabList, Text, tokens } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { request, type Schemas } from "../../api/client";
import { get, isObject, itemsOf, type Json, placeOf, resolve } from "../document";
import { type Section, sectionsOf } from "../fields";
import type { RuleSource } from "../rules";
import type { Finding } from "./findings";
import { SectionForm } from "./SectionForm";

const useStyles = makeStyles({
  form: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalM, maxWidth: "80rem" },
  tabs: { flexWrap: "wrap" },
});

/** The items of a section in the recommended rule, by their group. */
function recommendedOf(templates: Schemas["RuleTemplates"] | undefined, extension: string, section: Section) {
  const items = section.items;
  const document = (templates?.value.find((one) => one.name === "Recommended")?.document ?? {}) as Json;
  const sources = get(document, ["properties", "dataSources", "extensions"]);
  const groups = new Map<string, Json[]>();
  if (!items || !Array.isArray(sources)) return [];
  for (const source of sources) {
    if (!isObject(source) || source["extensionName"] !== extension) continue;
    const holder = placeOf(source, ["extensionSettings"], section.settings);
    for (const place of itemsOf(source, holder, items.names)) {
      const item = get(source, place);
      const name = String(isObject(item) ? item["name"] : "");
      // `Ssh_2` is of the group Ssh.
      const group = name.startsWith("ChangeTracking") ? "Configuration" : name.replace(/_\d+$/, "");
      if (item !== undefined) groups.set(group, [...(groups.get(group) ?? []), item]);
    }
  }
  return [...groups.entries()];
}

interface SourceFormProps {
  source: RuleSource;
  document: Json;
  findings: Finding[];
  change: (document: Json) => void;
}

/** One data source: its kinds of items, each with how often, and which. */
export function SourceForm({ source, document, findings, change }: SourceFormProps) {
  const styles = useStyles();
  const sections = sectionsOf(source.extensionName);
  const [name, setName] = useState<string>("Files");
  const templates = useQuery({
    queryKey: ["rule-templates"],
    queryFn: ({ signal }) => request<Schemas["RuleTemplates"]>("GET", "/api/v1/rule-templates", { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const settings = resolve(document, source.place);
  if (typeof get(document, settings) === "string") {
    return (
      <Text>
        The settings of this data source stand in the document as text, as Terraform has them: edit them as JSON.
      </Text>
    );
  }
  const section = sections.find((one) => one.name === name) ?? sections[0];
  return (
    <div className={styles.form}>
      <TabList
        className={styles.tabs}
        size="small"
        appearance="subtle"
        selectedValue={section?.name}
        onTabSelect={(_, { value }) => setName(String(value))}
      >
        {sections.map((one) => {
          const items = one.items && itemsOf(document, placeOf(document, settings, one.settings), one.items.names);
          return (
            <Tab key={one.name} value={one.name}>
              {one.name}
              {items ? ` (${items.length})` : ""}
            </Tab>
          );
        })}
      </TabList>
      {section && (
        <SectionForm
          key={section.name}
          section={section}
          document={document}
          settings={settings}
          findings={findings}
          recommended={recommendedOf(templates.data, source.extensionName, section)}
          change={change}
        />
      )}
    </div>
  );
}
