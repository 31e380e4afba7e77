import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  MessageBar,
  MessageBarBody,
  makeStyles,
  Spinner,
  Subtitle1,
  Tab,
  TabList,
  Text,
  tokens,
} from "@fluentui/react-components";
import { DismissRegular, EyeRegular, SaveRegular } from "@fluentui/react-icons";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { type Machine, Refused } from "../../api/client";
import { whenText } from "../../moments";
import { Problem } from "../../states/Problem";
import { visible } from "../../text";
import { DiffView } from "../DiffView";
import { inexact, type Json, parse, pretty } from "../document";
import { Findings } from "../RuleDetails";
import { findings as findingsText, isOvertaken, type Rule, rule, save, systemOf, textOf } from "../rules";
import { Basics } from "./Basics";
import { type Draft, draftOf, forgetDraft, keepDraft } from "./draft";
import { useCheck } from "./findings";
import { JsonTab } from "./JsonTab";
import { Preview } from "./Preview";
import { SourceForm } from "./SourceForm";

const useStyles = makeStyles({
  bar: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: tokens.spacingHorizontalS,
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  title: { flexGrow: 1, overflowWrap: "anywhere", minWidth: "8rem", margin: 0 },
  place: { display: "flex", flexGrow: 1, minHeight: 0 },
  form: {
    flexGrow: 1,
    minWidth: 0,
    overflowY: "auto",
    backgroundColor: tokens.colorNeutralBackground1,
    padding: tokens.spacingHorizontalM,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalM,
  },
  tabs: { flexWrap: "wrap" },
  wide: { maxWidth: "60rem" },
  dialog: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalS },
});

interface RuleEditorProps {
  name: string;
  machines: Machine[];
  /** Back to the list, with the rule's details or none. */
  close: (name: string | null) => void;
}

/** What is known of the rule now, and what was written before another page was looked at. */
export function RuleEditor({ name, machines, close }: RuleEditorProps) {
  const client = useQueryClient();
  const [draft] = useState(() => draftOf(client, name));
  const whole = draft?.etag !== undefined && draft.base !== undefined;
  const found = useQuery({
    queryKey: ["rule-to-edit", name],
    queryFn: ({ signal }) => rule(name, signal),
    enabled: !whole,
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  if (whole) return <Form name={name} machines={machines} close={close} begin={draft as Required<Draft>} />;
  if (found.error) return <Problem error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Spinner label="Fetching the rule" />;
  const base = textOf(found.data);
  const begin = { text: draft?.text ?? base, etag: found.data.etag, base };
  return <Form name={name} machines={machines} close={close} begin={begin} />;
}

function Form({ name, machines, close, begin }: RuleEditorProps & { begin: Required<Draft> }) {
  const styles = useStyles();
  const client = useQueryClient();
  const [{ text, etag, base }, setDraft] = useState(begin);
  const [tab, setTab] = useState("basics");
  const [asked, setAsked] = useState<"discard" | "errors" | null>(null);
  const [previewing, setPreviewing] = useState(false);
  const parsed = useMemo(() => parse(text), [text]);
  const document = "value" in parsed ? parsed.value : undefined;
  const checked = useCheck(text, document);
  const changed = text !== base;

  const write = (next: Required<Draft>) => {
    setDraft(next);
    if (next.text === next.base) forgetDraft(client, name);
    else keepDraft(client, name, next);
  };
  const change = (next: Json) => write({ text: pretty(next), etag, base });
  useEffect(() => {
    if (!changed) return;
    const hold = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", hold);
    return () => window.removeEventListener("beforeunload", hold);
  }, [changed]);

  const saving = useMutation({
    mutationFn: (over?: string) => save(name, over ?? etag, text),
    onSuccess: (saved: Rule) => {
      forgetDraft(client, name);
      client.setQueryData(["rule", name, saved.etag], saved);
      return client.invalidateQueries({ queryKey: ["rules"] }).then(() => close(saved.name));
    },
  });
  const errors = checked.findings.filter((one) => one.severity === "error").length;
  const begun = () => (errors ? setAsked("errors") : saving.mutate(undefined));
  const leave = () => {
    forgetDraft(client, name);
    close(etag ? name : null);
  };
  const large = document === undefined ? undefined : inexact(document);
  const overtaken = isOvertaken(saving.error);

  const usable = document !== undefined && large === undefined;
  const source = checked.sources.find((one) => one.place === tab);
  const shown = !usable || (tab !== "basics" && tab !== "findings" && !source) ? "json" : tab;

  return (
    <>
      <div className={styles.bar} role="toolbar" aria-label="Rule">
        <Button
          appearance="primary"
          icon={<SaveRegular />}
          disabled={
            document === undefined ||
            (!changed && etag !== "") ||
            !checked.current ||
            saving.isPending ||
            // What came from the server went through the browser's numbers; a file goes as it is.
            (large !== undefined && etag !== "")
          }
          onClick={begun}
        >
          Save
        </Button>
        <Button icon={<DismissRegular />} onClick={() => (changed ? setAsked("discard") : leave())}>
          {changed ? "Discard" : "Close"}
        </Button>
        <Button icon={<EyeRegular />} disabled={!usable || previewing} onClick={() => setPreviewing(true)}>
          Preview
        </Button>
        <Subtitle1 as="h2" className={styles.title}>
          {visible(name)}
        </Subtitle1>
        <Text size={200} role="status">
          {etag === "" ? "new, not saved" : changed ? "changed, not saved" : "saved"}
          {checked.findings.length > 0 && `; ${findingsText(checked.findings)}`}
        </Text>
      </div>
      <div className={styles.place}>
        <div className={styles.form}>
          {saving.error && !overtaken && <Problem error={saving.error} />}
          {checked.current && checked.error && document !== undefined && (
            <Problem
              error={
                checked.error instanceof Refused && checked.error.status === 400
                  ? new Error(`The server does not take this document: it ${checked.error.message}`)
                  : checked.error
              }
            />
          )}
          {large !== undefined && (
            <MessageBar intent="warning" layout="multiline">
              <MessageBarBody>
                The document holds the number {String(large)}, which a browser cannot hold exactly. Change this rule
                with <code>whatchanged rules apply</code>.
              </MessageBarBody>
            </MessageBar>
          )}
          {checked.isPending && usable && <Spinner label="Reading the rule" />}
          <TabList className={styles.tabs} selectedValue={shown} onTabSelect={(_, { value }) => setTab(String(value))}>
            <Tab value="basics" disabled={!usable}>
              Basics
            </Tab>
            {checked.sources.map((one) => (
              <Tab key={one.place} value={one.place} disabled={!usable}>
                {visible(
                  checked.sources.filter((other) => systemOf(other) === systemOf(one)).length > 1
                    ? one.name
                    : systemOf(one),
                )}
              </Tab>
            ))}
            <Tab value="findings" disabled={!usable}>
              Findings ({checked.findings.length})
            </Tab>
            <Tab value="json">JSON</Tab>
          </TabList>
          {shown === "json" && (
            <JsonTab
              text={text}
              wrong={"wrong" in parsed ? parsed.wrong : null}
              change={(next) => write({ text: next, etag, base })}
            />
          )}
          {shown === "basics" && !checked.isPending && document !== undefined && (
            <div className={styles.wide}>
              <Basics document={document} sources={checked.sources} findings={checked.findings} change={change} />
            </div>
          )}
          {shown === "findings" &&
            (checked.findings.length ? (
              <Findings problems={checked.findings} />
            ) : (
              <Text>None: everything in it is understood.</Text>
            ))}
          {source && shown === tab && document !== undefined && (
            <SourceForm
              key={source.place}
              source={source}
              document={document}
              findings={checked.findings}
              change={change}
            />
          )}
        </div>
        {previewing && document !== undefined && (
          <Preview document={document} machines={machines} close={() => setPreviewing(false)} />
        )}
      </div>
      {asked && (
        <Dialog open onOpenChange={(_, { open }) => open || setAsked(null)}>
          <DialogSurface>
            <DialogBody>
              <DialogTitle>{asked === "discard" ? "Discard what you changed?" : "Save with errors?"}</DialogTitle>
              <DialogContent>
                <Text>
                  {asked === "discard"
                    ? "What was saved last stays as it is."
                    : `${errors} part${errors > 1 ? "s" : ""} of the rule cannot work, and will be left out by machines; the rest does its work.`}
                </Text>
              </DialogContent>
              <DialogActions>
                <Button onClick={() => setAsked(null)}>Go on editing</Button>
                <Button
                  appearance="primary"
                  onClick={() => {
                    setAsked(null);
                    if (asked === "discard") leave();
                    else saving.mutate(undefined);
                  }}
                >
                  {asked === "discard" ? "Discard" : "Save"}
                </Button>
              </DialogActions>
            </DialogBody>
          </DialogSurface>
        </Dialog>
      )}
      {overtaken && (
        <Conflict
          name={name}
          text={text}
          stay={() => saving.reset()}
          overwrite={(over) => saving.mutate(over)}
          take={(theirs) => {
            saving.reset();
            const now = textOf(theirs);
            write({ text: now, etag: theirs.etag, base: now });
          }}
        />
      )}
    </>
  );
}

interface ConflictProps {
  name: string;
  text: string;
  stay: () => void;
  overwrite: (etag: string) => void;
  take: (theirs: Rule) => void;
}

/** Somebody else saved in the meantime: what differs, and whose it shall be. */
function Conflict({ name, text, stay, overwrite, take }: ConflictProps) {
  const styles = useStyles();
  const [comparing, setComparing] = useState(false);
  const theirs = useQuery({
    queryKey: ["rule-of-others", name],
    queryFn: ({ signal }) => rule(name, signal),
    gcTime: 0,
    retry: false,
  });
  const found = theirs.data;
  return (
    <Dialog open onOpenChange={(_, { open }) => open || stay()}>
      <DialogSurface>
        <DialogBody>
          <DialogTitle>Somebody else changed this rule</DialogTitle>
          <DialogContent className={styles.dialog}>
            {theirs.isPending && <Spinner label="Looking who" />}
            {theirs.error && <Problem error={theirs.error} again={() => void theirs.refetch()} />}
            {found && (
              <>
                <Text>
                  {visible(found.updatedBy || "Somebody")} saved it at {whenText(found.updatedAt)}, after you began.
                  Nothing of yours is saved yet.
                </Text>
                {comparing && <DiffView before={textOf(found)} after={text} label="Theirs and yours" />}
              </>
            )}
          </DialogContent>
          <DialogActions fluid>
            <Button onClick={stay}>Go on editing</Button>
            <Button disabled={!found || comparing} onClick={() => setComparing(true)}>
              Compare
            </Button>
            <Button disabled={!found} onClick={() => found && take(found)}>
              Take theirs
            </Button>
            <Button appearance="primary" disabled={!found} onClick={() => found && overwrite(found.etag)}>
              Overwrite with mine
            </Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}
