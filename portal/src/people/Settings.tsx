import { Button, Field, Input, MessageBar, MessageBarBody, Radio, RadioGroup, Text } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { request, type Schemas } from "../api/client";
import type { Column } from "../grid/Grid";
import { numberText, sizeText, whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Sheet } from "../states/Sheet";
import { visible } from "../text";
import { Commands } from "./Commands";
import { Section } from "./Section";
import type { TabProps } from "./tabs";
import { useChange } from "./useChange";

type Shown = Schemas["SettingsShown"];
type Retention = Schemas["Retention"];
type Setting = Schemas["ShownSetting"];

const KEY = ["settings"];
const LONGEST_DAYS = 36_500;

/** What the tables are to people, and what retention means there. */
const TABLES: Record<string, { label: string; means: string }> = {
  ConfigurationChange: { label: "Changes", means: "Changes older than this are deleted, by whole days." },
  ConfigurationData: {
    label: "Inventory",
    means: "Versions of items that newer ones superseded before this are deleted. What is current always stays.",
  },
  TrackingHealth: { label: "Health", means: "Health records older than this are deleted, by whole days." },
  Heartbeat: { label: "Heartbeats", means: "Heartbeats older than this are deleted, by whole days." },
};

type Line = { retention: Retention; setting?: undefined } | { setting: Setting; retention?: undefined };

const daysText = (days: number | null) =>
  days === null ? "for good" : days === 1 ? "1 day" : `${numberText(days)} days`;

const labelOf = (retention: Retention) => TABLES[retention.table]?.label ?? retention.table;

function valueText(value: unknown, unit: string): string {
  if (value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length))
    return "not set";
  if (unit === "bytes" && typeof value === "number") return sizeText(value);
  const text = Array.isArray(value) ? value.join(", ") : String(value);
  return unit ? `${text} ${unit}` : text;
}

const SOURCES: Record<string, string> = { portal: "set here", default: "default" };

const nameOf = ({ retention, setting }: Line) => (retention ? `Retention: ${labelOf(retention)}` : setting.name);
const sourceOf = ({ retention, setting }: Line) => {
  const source = retention ? retention.source : setting.source;
  return SOURCES[source] ?? source;
};

const COLUMNS: Column<Line>[] = [
  { id: "name", label: "Setting", width: "minmax(11rem, 2fr)", text: nameOf },
  {
    id: "value",
    label: "Value",
    width: "minmax(9rem, 2fr)",
    text: ({ retention, setting }) => (retention ? daysText(retention.days) : valueText(setting.value, setting.unit)),
  },
  { id: "source", label: "From", width: "minmax(9rem, 1fr)", text: sourceOf },
  {
    id: "default",
    label: "Default",
    width: "minmax(8rem, 1fr)",
    text: ({ retention, setting }) => (retention ? "for good" : valueText(setting.default, setting.unit)),
  },
  {
    id: "help",
    label: "What it is",
    width: "minmax(12rem, 4fr)",
    text: ({ retention, setting }) => (retention ? (TABLES[retention.table]?.means ?? "") : setting.help),
  },
];

export function Settings({ selected, select }: TabProps) {
  const found = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => request<Shown>("GET", "/api/v1/settings", { signal }),
  });
  const [changing, setChanging] = useState(false);
  // Those that are settings of the start as well stand in the list once.
  const named = new Set(found.data?.retention.map((one) => one.setting));
  const lines: Line[] | undefined = found.data && [
    ...found.data.retention.map((retention) => ({ retention })),
    ...found.data.value.filter((setting) => !named.has(setting.name)).map((setting) => ({ setting })),
  ];
  const chosen = lines?.find((line) => nameOf(line) === selected)?.retention;
  return (
    <Section
      label="Settings"
      found={{ data: lines, error: found.error, isPending: found.isPending, refetch: found.refetch }}
      columns={COLUMNS}
      keyOf={nameOf}
      selected={selected}
      select={select}
      empty="This server does not say how it was started."
      status={lines ? "Retention is set here; everything else where the server is started." : ""}
      details={({ retention, setting }) => (
        <Drawer of="Setting" title={retention ? nameOf({ retention }) : setting.name} close={() => select(null)}>
          {retention ? (
            <OneRetention retention={retention} change={() => setChanging(true)} />
          ) : (
            <OneSetting setting={setting} />
          )}
        </Drawer>
      )}
    >
      {chosen && changing && <Keep retention={chosen} close={() => setChanging(false)} />}
    </Section>
  );
}

const isFixed = (retention: Retention) => retention.source !== "portal" && retention.source !== "default";

function OneRetention({ retention, change }: { retention: Retention; change: () => void }) {
  return (
    <>
      {isFixed(retention) ? (
        <MessageBar>
          <MessageBarBody>
            It is fixed by {retention.setting} ({visible(retention.source)}). Change it there and start the server anew.
          </MessageBarBody>
        </MessageBar>
      ) : (
        <Commands>
          <Button onClick={change}>Change retention</Button>
        </Commands>
      )}
      <Facts
        facts={[
          ["Kept", daysText(retention.days)],
          ["Meaning", TABLES[retention.table]?.means],
          ["Rows", numberText(retention.rows)],
          ["Oldest", retention.oldest ?? "none"],
          [
            "Set",
            retention.updatedAt ? `${whenText(retention.updatedAt)} by ${visible(retention.updatedBy ?? "")}` : "",
          ],
          ["Table", retention.table],
          ["Setting that fixes it", retention.setting],
        ]}
      />
    </>
  );
}

function OneSetting({ setting }: { setting: Setting }) {
  const flag = `--${setting.name.replaceAll("_", "-")}`;
  return (
    <Facts
      facts={[
        ["Value", visible(valueText(setting.value, setting.unit))],
        ["Default", valueText(setting.default, setting.unit)],
        ["What it is", setting.help],
        ["From", SOURCES[setting.source] ?? visible(setting.source)],
        [
          "To change it",
          `${setting.name} in the file of settings, ${setting.environment}, or ${flag}; then start the server anew`,
        ],
      ]}
    />
  );
}

function Keep({ retention, close }: { retention: Retention; close: () => void }) {
  const [limited, setLimited] = useState(retention.days !== null);
  const [text, setText] = useState(String(retention.days ?? 90));
  const days = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  const good = days >= 1 && days <= LONGEST_DAYS;
  const removal = useQuery({
    queryKey: [...KEY, "removal", retention.table, days],
    queryFn: ({ signal }) =>
      request<Schemas["Held"]>("GET", `/api/v1/settings/retention/${retention.table}/removal?days=${days}`, { signal }),
    enabled: limited && good,
  });
  const change = useChange([KEY[0] ?? ""], close);
  const wanted = limited ? days : null;
  return (
    <Sheet
      title={`Retention: ${labelOf(retention)}`}
      action={wanted === null ? "Keep for good" : `Keep ${good ? daysText(days) : "…"}`}
      act={() =>
        change.mutate({
          method: "PUT",
          path: "/api/v1/settings/retention",
          body: { days: { [retention.table]: wanted } },
        })
      }
      close={close}
      busy={change.isPending}
      error={change.error ?? (limited ? removal.error : null)}
      ready={!limited || (good && removal.data !== undefined)}
    >
      <Text>{TABLES[retention.table]?.means}</Text>
      <RadioGroup value={limited ? "days" : "good"} onChange={(_, { value }) => setLimited(value === "days")}>
        <Radio value="good" label="Keep for good" />
        <Radio value="days" label="Keep for some days" />
      </RadioGroup>
      {limited && (
        <>
          <Field
            label="Days"
            {...(good
              ? {}
              : { validationState: "error" as const, validationMessage: `1 to ${numberText(LONGEST_DAYS)} days.` })}
          >
            <Input inputMode="numeric" value={text} onChange={(_, { value }) => setText(value)} />
          </Field>
          {good && removal.data && (
            <MessageBar intent={removal.data.rows ? "warning" : "info"} layout="multiline">
              <MessageBarBody>
                {removal.data.rows
                  ? `After an hour, in which you can take it back, ${numberText(removal.data.rows)} rows are deleted, the oldest of ${removal.data.oldest}.`
                  : "Nothing that is stored now is older: nothing is deleted yet."}
              </MessageBarBody>
            </MessageBar>
          )}
        </>
      )}
    </Sheet>
  );
}
