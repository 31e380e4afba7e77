import { Button, makeStyles, Spinner, Text, tokens } from "@fluentui/react-components";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Session } from "../api/client";
import { whenText } from "../moments";
import { Problem } from "../states/Problem";
import { visible } from "../text";
import { DiffView } from "./DiffView";
import { exact, type Json } from "./document";
import { mayEdit, type Rule, type RuleVersion, save, textOf, version, versions } from "./rules";

const useStyles = makeStyles({
  list: {
    listStyle: "none",
    margin: 0,
    padding: 0,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalXS,
  },
  line: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalS, minWidth: 0 },
  head: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalS },
  link: { justifyContent: "flex-start", textAlign: "left", flexGrow: 1, overflowWrap: "anywhere", minWidth: 0 },
});

export function History({ rule, session }: { rule: Rule; session: Session }) {
  const styles = useStyles();
  const [open, setOpen] = useState<number | null>(null);
  const found = useQuery({
    queryKey: ["rule-versions", rule.name, rule.etag, rule.updatedAt],
    queryFn: ({ signal }) => versions(rule.name, signal),
  });
  return (
    <>
      {found.isPending && <Spinner label="Looking for versions" />}
      {found.error && <Problem error={found.error} again={() => void found.refetch()} />}
      <ul className={styles.list} aria-label="Versions">
        {found.data?.map((one, at) => (
          <li key={one.id} className={styles.line}>
            <div className={styles.head}>
              <Button
                appearance="subtle"
                className={styles.link}
                aria-expanded={open === one.id}
                onClick={() => setOpen(open === one.id ? null : one.id)}
              >
                {open === one.id ? "▾" : "▸"} {whenText(one.at)} by {visible(one.by)}
                {at === 0 ? " (as it is now)" : ""}
              </Button>
            </div>
            {open === one.id && (
              <Version rule={rule} one={one} before={found.data[at + 1]} restorable={at > 0 && mayEdit(session)} />
            )}
          </li>
        ))}
      </ul>
      {found.data && found.data.length >= 100 && <Text>Older versions than these 100 are not kept.</Text>}
    </>
  );
}

interface VersionProps {
  rule: Rule;
  one: RuleVersion;
  before: RuleVersion | undefined;
  restorable: boolean;
}

function Version({ rule, one, before, restorable }: VersionProps) {
  const client = useQueryClient();
  const documents = useQuery({
    queryKey: ["rule-version", rule.immutableId, one.id, before?.id],
    queryFn: async ({ signal }) => {
      const [now, old] = await Promise.all([
        version(rule.name, one.id, signal),
        before ? version(rule.name, before.id, signal) : null,
      ]);
      return { now: textOf(now), old: old ? textOf(old) : "" };
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  const restoring = useMutation({
    mutationFn: () => {
      const text = documents.data?.now ?? "";
      exact(JSON.parse(text) as Json);
      return save(rule.name, rule.etag, text);
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ["rules"] }),
  });
  return (
    <>
      {documents.isPending && <Spinner size="tiny" label="Comparing" />}
      {documents.error && <Problem error={documents.error} again={() => void documents.refetch()} />}
      {documents.data && (
        <>
          <Text>{before ? `What changed since ${whenText(before.at)}:` : "The first version that is kept:"}</Text>
          <DiffView before={documents.data.old} after={documents.data.now} label="Difference to the version before" />
          {restorable && (
            <div>
              <Button disabled={restoring.isPending || restoring.isSuccess} onClick={() => restoring.mutate()}>
                Restore this version
              </Button>
            </div>
          )}
          {restoring.isSuccess && <Text role="status">Restored, as a new version.</Text>}
          {restoring.error && <Problem error={restoring.error} />}
        </>
      )}
    </>
  );
}
