import {
  Badge,
  Button,
  Field,
  MessageBar,
  MessageBarBody,
  makeStyles,
  mergeClasses,
  Spinner,
  Text,
  tokens,
} from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { type Machine, request } from "../../api/client";
import { agoText, numberText, sizeText, whenText } from "../../moments";
import { Drawer } from "../../states/Drawer";
import { Name } from "../../states/Name";
import { Problem } from "../../states/Problem";
import { visible } from "../../text";
import { get, isObject, type Json, placeOf, resolve } from "../document";
import { MachinePicker } from "../MachinePicker";

const useStyles = makeStyles({
  table: { borderCollapse: "collapse", width: "100%" },
  cell: {
    textAlign: "left",
    verticalAlign: "top",
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalS}`,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    overflowWrap: "anywhere",
  },
  number: { textAlign: "right", whiteSpace: "nowrap" },
  path: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200, display: "block" },
  scroll: { overflowX: "auto" },
});

/** What a tracker answers (docs/formats/server-api.md). */
interface Counted {
  RuleName: string;
  Place?: string;
  Files: number;
  Bytes: number;
  Denied: string[];
  DeniedTotal?: number;
  Obstacle: string;
}
interface Result {
  rules?: Counted[];
  more?: number;
  problems?: { Place: string; Message: string; Severity: string }[];
  cut?: string;
  error?: string;
}
interface Asked {
  state: "pending" | "delivered" | "answered";
  success: boolean | null;
  result: Result | null;
}

/** Seconds after which nobody waits any longer; the tracker counts for 40 at most. */
const PATIENCE = 100;

interface PreviewProps {
  document: Json;
  machines: Machine[];
  close: () => void;
}

/** What the rule, as it stands in the form, would take on a machine. */
export function Preview({ document, machines, close }: PreviewProps) {
  const [machine, setMachine] = useState<Machine | null>(null);
  const [run, setRun] = useState<{ id: string; machine: Machine; document: Json; since: number } | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [asking, setAsking] = useState(false);
  const active = machines.filter((one) => one.status === "active");
  const ask = async (chosen: Machine) => {
    setError(null);
    setRun(null);
    setAsking(true);
    try {
      const { id } = await request<{ id: string }>(
        "POST",
        `/api/v1/machines/${encodeURIComponent(chosen.id)}/requests`,
        {
          body: { request: "preview", document },
        },
      );
      setRun({ id, machine: chosen, document, since: Date.now() });
    } catch (caught) {
      setError(caught instanceof Error ? caught : new Error(String(caught)));
    } finally {
      setAsking(false);
    }
  };
  return (
    <Drawer of="Preview" title="Preview" close={close}>
      <Text>
        A machine counts what the rule, as it stands here, would take; nothing is saved, and no content is read. Its own
        policy bounds it.
      </Text>
      <Field label="Machine">
        <MachinePicker machines={active} chosen={machine} choose={setMachine} />
      </Field>
      {machine?.silentSince && (
        <MessageBar intent="warning" layout="multiline">
          <MessageBarBody>
            {visible(machine.computer)} is silent since {whenText(machine.silentSince)} ({agoText(machine.silentSince)}
            ). It cannot answer before it is back: see that it runs, and that <code>whatchanged status</code> there says
            that the server is reached.
          </MessageBarBody>
        </MessageBar>
      )}
      <div>
        <Button appearance="primary" disabled={!machine || asking} onClick={() => machine && void ask(machine)}>
          {run ? "Count again" : "Count"}
        </Button>
      </div>
      {error && <Problem error={error} />}
      {run && <Waiting key={run.id} {...run} />}
    </Drawer>
  );
}

function Waiting({ id, machine, document, since }: { id: string; machine: Machine; document: Json; since: number }) {
  const [late, setLate] = useState(false);
  const found = useQuery({
    queryKey: ["preview", machine.id, id],
    queryFn: ({ signal }) =>
      request<Asked>("GET", `/api/v1/machines/${encodeURIComponent(machine.id)}/requests/${encodeURIComponent(id)}`, {
        signal,
      }),
    refetchInterval: ({ state }) => (state.data?.state === "answered" ? false : 500),
    gcTime: 0,
  });
  const answered = found.data?.state === "answered";
  useEffect(() => {
    const soon = window.setTimeout(() => setLate(true), since + PATIENCE * 1000 - Date.now());
    return () => window.clearTimeout(soon);
  }, [since]);
  if (found.error) return <Problem error={found.error} again={() => void found.refetch()} />;
  const answer = found.data?.result;
  if (answered && answer && found.data?.success)
    return <Counts result={answer} document={document} machine={machine} />;
  if (answered)
    return (
      <Problem
        error={new Error(`${machine.computer} cannot count: ${visible(answer?.error ?? "it does not say why")}`)}
      />
    );
  if (late) {
    return (
      <MessageBar intent="warning" layout="multiline">
        <MessageBarBody>
          {visible(machine.computer)} has not answered within {PATIENCE} seconds; its last contact was{" "}
          {agoText(machine.lastContact)} ({whenText(machine.lastContact)}). See there what{" "}
          <code>whatchanged status</code> says, or choose another machine. If it answers within the hour, the counts
          appear here.
        </MessageBarBody>
      </MessageBar>
    );
  }
  const words = found.data?.state === "delivered" ? "is counting" : "is asked";
  return <Spinner label={`${visible(machine.computer)} ${words}; large trees take up to 40 seconds`} />;
}

function Counts({ result, document, machine }: { result: Result; document: Json; machine: Machine }) {
  const styles = useStyles();
  const rows = result.rules ?? [];
  const files = rows.reduce((sum, row) => sum + row.Files, 0);
  const bytes = rows.reduce((sum, row) => sum + row.Bytes, 0);
  const pathOf = (row: Counted) => {
    const item = row.Place ? get(document, resolve(document, row.Place)) : undefined;
    return isObject(item)
      ? String(
          get(
            item,
            placeOf(item, [], machine.osType === "Windows" ? ["path", "destinationPath"] : ["destinationPath", "path"]),
          ) ?? "",
        )
      : "";
  };
  return (
    <>
      {result.cut && (
        <MessageBar intent="warning">
          <MessageBarBody>
            Not everything: {visible(result.cut)}. The counts are of what was seen until then.
          </MessageBarBody>
        </MessageBar>
      )}
      {result.problems?.map((one, at) => (
        <MessageBar key={at} intent={one.Severity === "error" ? "error" : "warning"} layout="multiline">
          <MessageBarBody>
            {visible(one.Place)}: {visible(one.Message)}
          </MessageBarBody>
        </MessageBar>
      ))}
      {rows.length === 0 && (
        <Text role="status">
          No file item of the rule is for {machine.osType}. Software, services and registry are not counted here.
        </Text>
      )}
      {rows.length > 0 && (
        <div className={styles.scroll}>
          <table className={styles.table} aria-label="Counts">
            <thead>
              <tr>
                <th scope="col" className={styles.cell}>
                  Item
                </th>
                <th scope="col" className={mergeClasses(styles.cell, styles.number)}>
                  Files
                </th>
                <th scope="col" className={mergeClasses(styles.cell, styles.number)}>
                  Size
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row, at) => (
                <tr key={at}>
                  <td className={styles.cell}>
                    <Name text={row.RuleName} />
                    <span className={styles.path}>
                      <Name text={pathOf(row)} />
                    </span>
                    {row.Files === 0 && !row.Denied.length && (
                      <>
                        <Badge appearance="tint" color="warning">
                          matches nothing
                        </Badge>{" "}
                        {visible(row.Obstacle)}
                      </>
                    )}
                    {row.Denied.length > 0 && (
                      <>
                        <Badge appearance="tint" color="danger">
                          {numberText(row.DeniedTotal ?? row.Denied.length)} not looked at
                        </Badge>{" "}
                        {visible(row.Denied[0] ?? "")}
                      </>
                    )}
                  </td>
                  <td className={mergeClasses(styles.cell, styles.number)}>{numberText(row.Files)}</td>
                  <td className={mergeClasses(styles.cell, styles.number)}>
                    {sizeText(row.Bytes).replace(/ \(.*/, "")}
                  </td>
                </tr>
              ))}
            </tbody>
            <tfoot>
              <tr>
                <th scope="row" className={styles.cell}>
                  Together; a file of several items counts several times
                </th>
                <td className={mergeClasses(styles.cell, styles.number)}>{numberText(files)}</td>
                <td className={mergeClasses(styles.cell, styles.number)}>{sizeText(bytes).replace(/ \(.*/, "")}</td>
              </tr>
            </tfoot>
          </table>
        </div>
      )}
      {Boolean(result.more) && <Text>and {numberText(result.more ?? 0)} more items, of which nothing is told</Text>}
      {rows.length > 0 && (
        <Text size={200}>
          Items that are not enabled are counted, too. Software, services and registry are not counted.
        </Text>
      )}
    </>
  );
}
