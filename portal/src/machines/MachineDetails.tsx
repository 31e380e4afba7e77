import { Button, Checkbox, makeStyles, Subtitle2, Text, tokens } from "@fluentui/react-components";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Machine, type Row, request } from "../api/client";
import { itemName } from "../changes/rows";
import { type Filter, write } from "../filter/filter";
import { useFilter } from "../filter/useFilter";
import { KINDS } from "../inventory/kinds";
import { go } from "../location";
import { agoText, numberText, whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Name } from "../states/Name";
import { Problem } from "../states/Problem";
import { Sheet } from "../states/Sheet";
import { To } from "../states/To";
import { visible } from "../text";
import { counts, gaps, newest, parts } from "./about";
import { stateOf } from "./state";
import { Troubles } from "./Troubles";

const useStyles = makeStyles({
  actions: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalS },
  list: { margin: 0, paddingLeft: tokens.spacingHorizontalL, overflowWrap: "anywhere" },
});

/** What ends a machine, and what that means. */
const ENDS = {
  revoke: {
    label: "Revoke",
    means: "It is refused from now on. What it sent and its place stay; to come back it must enrol anew.",
  },
  decommission: {
    label: "Decommission",
    means: "It is out of service: refused, without rules, and nobody is alarmed that it is silent.",
  },
} as const;

type End = keyof typeof ENDS;

interface MachineDetailsProps {
  machine: Machine;
  rules: string[];
  troubles: Row[];
  role: string;
  close: () => void;
}

export function MachineDetails({ machine, rules, troubles, role, close }: MachineDetailsProps) {
  const styles = useStyles();
  const client = useQueryClient();
  const { filter } = useFilter();
  const [ending, setEnding] = useState<End | null>(null);
  const [purge, setPurge] = useState(false);
  const path = `/api/v1/machines/${encodeURIComponent(machine.id)}`;
  const lost = useQuery({ queryKey: ["gaps", machine.id], queryFn: ({ signal }) => gaps(machine.id, signal) });
  const fares = useQuery({
    queryKey: ["parts", machine.id],
    queryFn: ({ signal }) => parts(machine.id, signal),
    refetchInterval: 30_000,
  });
  const changes = useQuery({
    queryKey: ["newest changes", machine.id],
    queryFn: ({ signal }) => newest(machine.id, signal),
    refetchInterval: 30_000,
  });
  const items = useQuery({ queryKey: ["counts", machine.id], queryFn: ({ signal }) => counts(machine.id, signal) });
  const scan = useMutation({ mutationFn: () => request("POST", `${path}/requests`, { body: { request: "scan" } }) });
  const end = useMutation({
    mutationFn: (how: End) =>
      how === "revoke" ? request("POST", `${path}/revoke`) : request("DELETE", `${path}?purge=${purge}`),
    onSuccess: () => {
      setEnding(null);
      void client.invalidateQueries({ queryKey: ["fleet"] });
    },
  });
  const only: Filter = {
    ...filter,
    text: "",
    conditions: [{ field: "machine", not: false, values: [machine.computer] }],
  };
  const always: Filter = { ...only, window: "all", from: "", to: "" };
  const visit = (target: string) => go(target, write(only, new URLSearchParams()));
  const state = stateOf(machine);

  return (
    <Drawer of="Machine" title={<Name text={machine.computer} />} close={close}>
      <div className={styles.actions}>
        <Button onClick={() => visit("/changes")}>Changes</Button>
        <Button onClick={() => visit("/inventory")}>Inventory</Button>
        {role !== "Reader" && state === "Active" && (
          <Button onClick={() => scan.mutate()} disabled={scan.isPending}>
            Look now
          </Button>
        )}
        {role === "Owner" &&
          state !== "Decommissioned" &&
          (Object.keys(ENDS) as End[]).map((how) => (
            <Button key={how} onClick={() => setEnding(how)} disabled={how === "revoke" && state === "Revoked"}>
              {ENDS[how].label}
            </Button>
          ))}
      </div>
      {scan.isSuccess && <Text role="status">Asked to look; what is found arrives by itself.</Text>}
      {scan.error && <Problem error={scan.error} />}
      <Facts
        facts={[
          ["State", state],
          ["Silent since", machine.silentSince ? whenText(machine.silentSince) : ""],
          ["Last contact", `${agoText(machine.lastContact)} (${whenText(machine.lastContact)})`],
          ["Tracker", fares.data?.tracker],
          ["Waiting there", fares.data?.waiting],
          ["System", machine.osName || machine.osType],
          ["Agent", machine.agentVersion],
          ["Group", machine.machineGroup],
          [
            "Rules in force",
            rules.join(", ") || "none: nothing is collected; associate one with `whatchanged rules associate`",
          ],
          ["Enrolled", whenText(machine.enrolledAt)],
          ["Id", machine.id],
          ["Resource", machine.resourceId],
          ["Hardware", machine.vmUuid],
        ]}
      />
      <Subtitle2 as="h2">Newest changes</Subtitle2>
      {changes.error && <Problem error={changes.error} again={() => void changes.refetch()} />}
      {changes.data?.length === 0 && <Text>None yet. What stood there at the first look is in the inventory.</Text>}
      <ul className={styles.list}>
        {changes.data?.map((row) => (
          <li key={row.ChangeId}>
            <To path="/changes" filter={always} with={{ change: row.ChangeId ?? "" }}>
              <Name text={itemName(row)} />
            </To>
            : {(row.ChangeCategory ?? "").toLowerCase()} {agoText(row.TimeGenerated)}
          </li>
        ))}
      </ul>
      <Subtitle2 as="h2">Inventory</Subtitle2>
      {items.error && <Problem error={items.error} again={() => void items.refetch()} />}
      {items.data?.length === 0 && <Text>Nothing yet: no look has been completed.</Text>}
      <ul className={styles.list}>
        {items.data?.map(([kind, count]) => (
          <li key={kind}>
            {kind in KINDS ? (
              <To path="/inventory" filter={only} with={{ kind }}>
                {KINDS[kind]?.label}
              </To>
            ) : (
              kind
            )}
            : {numberText(count)}
          </li>
        ))}
      </ul>
      <Subtitle2 as="h2">Health</Subtitle2>
      <Troubles rows={troubles} />
      <Subtitle2 as="h2">Gaps</Subtitle2>
      {lost.error && <Problem error={lost.error} again={() => void lost.refetch()} />}
      {lost.data?.length === 0 && <Text>None: every record that it made has arrived.</Text>}
      <ul className={styles.list}>
        {lost.data?.map((row, at) => (
          <li key={at}>
            {whenText(row["TimeGenerated"])}: {String(row["LostRecords"])} records of {String(row["Stream"])} are
            missing ({String(row["FirstSequence"])}–{String(row["LastSequence"])}). {visible(String(row["Detail"]))}
          </li>
        ))}
      </ul>
      {ending && (
        <Sheet
          title={`${ENDS[ending].label} ${visible(machine.computer)}?`}
          action={ENDS[ending].label}
          cancel="Leave it as it is"
          act={() => end.mutate(ending)}
          close={() => setEnding(null)}
          busy={end.isPending}
          error={end.error}
        >
          <Text>{ENDS[ending].means}</Text>
          {ending === "decommission" && (
            <Checkbox
              label="Also delete everything that it sent; this cannot be undone"
              checked={purge}
              onChange={(_, { checked }) => setPurge(checked === true)}
            />
          )}
        </Sheet>
      )}
    </Drawer>
  );
}
