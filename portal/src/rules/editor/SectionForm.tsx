import {
  Badge,
  Button,
  Checkbox,
  Menu,
  MenuItem,
  MenuList,
  MenuPopover,
  MenuTrigger,
  makeStyles,
  mergeClasses,
  Text,
  tokens,
} from "@fluentui/react-components";
import { AddRegular, DeleteRegular, EditRegular, StarRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useNarrow } from "../../shell/media";
import { Name } from "../../states/Name";
import { visible } from "../../text";
import { added, get, isObject, itemsOf, type Json, type Path, placeOf, remove, set, within } from "../document";
import { asBoolean, type Section } from "../fields";
import { FieldInput } from "./FieldInput";
import type { Finding } from "./findings";
import { ItemDialog } from "./ItemDialog";

const useStyles = makeStyles({
  section: { containerType: "inline-size", display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalM },
  bar: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalS },
  table: { borderCollapse: "collapse", width: "100%", tableLayout: "fixed" },
  cell: {
    textAlign: "left",
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalS}`,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    overflowWrap: "anywhere",
    verticalAlign: "middle",
  },
  head: { fontWeight: tokens.fontWeightSemibold, whiteSpace: "nowrap" },
  path: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200 },
  check: { width: "4.5rem" },
  // Beside the preview there is less room than the window has.
  flag: { width: "6.5rem", "@container (max-width: 44rem)": { display: "none" } },
  tag: { width: "9rem", "@container (max-width: 44rem)": { display: "none" } },
  buttons: { width: "4.5rem", textAlign: "right", whiteSpace: "nowrap" },
  off: { color: tokens.colorNeutralForeground2 },
});

interface SectionFormProps {
  section: Section;
  document: Json;
  /** Where the settings of the data source stand. */
  settings: Path;
  findings: Finding[];
  /** Items that may be added ready-made, by group. */
  recommended: [string, Json[]][];
  change: (document: Json) => void;
}

export function SectionForm({ section, document, settings, findings, recommended, change }: SectionFormProps) {
  const styles = useStyles();
  const holder = placeOf(document, settings, section.settings);
  const input = { document, findings, change };
  return (
    <div className={styles.section}>
      <FieldInput field={section.enable} holder={settings} {...input} />
      {Array.isArray(get(document, holder)) ? (
        <Text>The frequency has its default: the rule has a list where the settings would be.</Text>
      ) : (
        <FieldInput field={section.frequency} holder={holder} unit="seconds" {...input} />
      )}
      {section.items && (
        <Items section={section} items={section.items} holder={holder} recommended={recommended} {...input} />
      )}
    </div>
  );
}

interface ItemsProps extends Omit<SectionFormProps, "settings"> {
  items: NonNullable<Section["items"]>;
  holder: Path;
}

function Items({ section, items, holder, document, findings, recommended, change }: ItemsProps) {
  const styles = useStyles();
  const narrow = useNarrow();
  const [open, setOpen] = useState<{ place: Path; before: Json } | null>(null);
  const places = itemsOf(document, holder, items.names);
  const textAt = (place: Path, names: string[]) => String(get(document, placeOf(document, place, names)) ?? "");
  const add = () => {
    const next = added(document, holder, items.names, [items.fresh]);
    const place = itemsOf(next, holder, items.names).at(-1);
    change(next);
    if (place) setOpen({ place, before: document });
  };
  const known = new Set(places.map((place) => textAt(place, items.path).toLowerCase()));
  const fresh = recommended
    .map(([group, list]): [string, Json[]] => [
      group,
      list.filter((one) => !known.has(String(get(one, placeOf(one, [], items.path)) ?? "").toLowerCase())),
    ])
    .filter(([, list]) => list.length > 0);
  return (
    <>
      <div className={styles.bar}>
        <Button icon={<AddRegular />} onClick={add}>
          Add {items.one}
        </Button>
        {fresh.length > 0 && (
          <Menu>
            <MenuTrigger disableButtonEnhancement>
              <Button icon={<StarRegular />}>Add recommended</Button>
            </MenuTrigger>
            <MenuPopover>
              <MenuList>
                {fresh.length > 1 && (
                  <MenuItem
                    onClick={() =>
                      change(
                        added(
                          document,
                          holder,
                          items.names,
                          fresh.flatMap(([, list]) => list),
                        ),
                      )
                    }
                  >
                    All ({fresh.reduce((sum, [, list]) => sum + list.length, 0)})
                  </MenuItem>
                )}
                {fresh.map(([group, list]) => (
                  <MenuItem key={group} onClick={() => change(added(document, holder, items.names, list))}>
                    {group} ({list.length})
                  </MenuItem>
                ))}
              </MenuList>
            </MenuPopover>
          </Menu>
        )}
      </div>
      {places.length === 0 && (
        <Text className={styles.off}>
          No {items.one} yet: of {section.name.toLowerCase()} nothing is collected by this data source.
        </Text>
      )}
      {places.length > 0 && (
        <table className={styles.table} aria-label={section.name}>
          <thead>
            <tr>
              <th scope="col" className={mergeClasses(styles.cell, styles.head, styles.check)}>
                Enabled
              </th>
              {!narrow && (
                <th scope="col" className={mergeClasses(styles.cell, styles.head)}>
                  Name
                </th>
              )}
              <th scope="col" className={mergeClasses(styles.cell, styles.head)}>
                {section.name === "Registry" ? "Key" : "Path"}
              </th>
              {!narrow && (
                <>
                  <th scope="col" className={mergeClasses(styles.cell, styles.head, styles.flag)}>
                    Recursive
                  </th>
                  <th scope="col" className={mergeClasses(styles.cell, styles.head, styles.tag)}>
                    Group tag
                  </th>
                </>
              )}
              <th scope="col" className={mergeClasses(styles.cell, styles.head, styles.buttons)}>
                Edit
              </th>
            </tr>
          </thead>
          <tbody>
            {places.map((place, at) => {
              const item = get(document, place);
              if (!isObject(item)) return null;
              const name = visible(textAt(place, ["name"]) || `item ${at + 1}`);
              const value = items.path.length === 1 ? textAt(place, ["valueName"]) : "";
              const wrong = findings.filter((one) => within(one.path, place) && one.severity !== "note");
              const enabled = placeOf(document, place, ["enabled"]);
              return (
                <tr key={at}>
                  <td className={styles.cell}>
                    <Checkbox
                      aria-label={`${name} enabled`}
                      checked={asBoolean(get(document, enabled), true)}
                      onChange={(_, { checked }) => change(set(document, enabled, checked === true))}
                    />
                  </td>
                  {!narrow && (
                    <td className={styles.cell}>
                      <Name text={textAt(place, ["name"]) || `item ${at + 1}`} />
                    </td>
                  )}
                  <td className={mergeClasses(styles.cell, styles.path)}>
                    <Name text={textAt(place, items.path)} />
                    {value && ` : ${visible(value)}`}
                    {wrong[0] && (
                      <div>
                        <Badge appearance="tint" color={wrong[0].severity === "error" ? "danger" : "warning"}>
                          {wrong[0].severity}
                        </Badge>{" "}
                        {visible(wrong[0].message)}
                      </div>
                    )}
                  </td>
                  {!narrow && (
                    <>
                      <td className={mergeClasses(styles.cell, styles.flag)}>
                        {asBoolean(get(document, placeOf(document, place, ["recurse", "recursive"])), false)
                          ? "yes"
                          : "no"}
                      </td>
                      <td className={mergeClasses(styles.cell, styles.tag)}>{visible(textAt(place, ["groupTag"]))}</td>
                    </>
                  )}
                  <td className={mergeClasses(styles.cell, styles.buttons)}>
                    <Button
                      appearance="subtle"
                      icon={<EditRegular />}
                      aria-label={`Edit ${name}`}
                      onClick={() => setOpen({ place, before: document })}
                    />
                    <Button
                      appearance="subtle"
                      icon={<DeleteRegular />}
                      aria-label={`Remove ${name}`}
                      onClick={() => change(remove(document, place))}
                    />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {open && isObject(get(document, open.place)) && (
        <ItemDialog
          title={`${items.one.charAt(0).toUpperCase()}${items.one.slice(1)}`}
          fields={items.fields}
          document={document}
          place={open.place}
          findings={findings}
          change={change}
          done={() => setOpen(null)}
          cancel={() => {
            change(open.before);
            setOpen(null);
          }}
        />
      )}
    </>
  );
}
