/** A query under a name. What is there already is replaced only by who says so. */
import { Field, Input, MessageBar, MessageBarBody, Textarea } from "@fluentui/react-components";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Sheet } from "../states/Sheet";
import { visible } from "../text";
import { list, SAVED, type SavedQuery, save } from "./saved";

interface SaveDialogProps {
  query: string;
  /** What was opened, whose name and description are at hand. */
  opened: SavedQuery | null;
  saved: (saved: SavedQuery) => void;
  close: () => void;
}

export function SaveDialog({ query, opened, saved, close }: SaveDialogProps) {
  const client = useQueryClient();
  const own = opened?.builtIn ? null : opened;
  const [name, setName] = useState(own?.name ?? "");
  const [description, setDescription] = useState(opened?.description ?? "");
  const [category, setCategory] = useState(own?.category ?? "");
  const known = useQuery({ queryKey: SAVED, queryFn: ({ signal }) => list(signal) });
  const there = known.data?.find((one) => one.name.toLowerCase() === name.trim().toLowerCase());
  const saving = useMutation({
    mutationFn: () => {
      const tags = there?.tags ?? own?.tags ?? [];
      return save(name.trim(), { query, description, category, tags }, there?.etag ?? null);
    },
    onSuccess: saved,
    onSettled: () => client.invalidateQueries({ queryKey: SAVED }),
  });
  return (
    <Sheet
      title="Save the query"
      action={there && !there.builtIn ? "Replace" : "Save"}
      act={() => saving.mutate()}
      close={close}
      busy={saving.isPending}
      error={saving.error}
      ready={!known.isPending && Boolean(name.trim()) && there?.builtIn !== true}
    >
      <Field label="Name" required hint="Letters, digits, spaces and -_.()">
        <Input value={name} onChange={(_, { value }) => setName(value)} maxLength={200} />
      </Field>
      <Field label="Description">
        <Textarea value={description} onChange={(_, { value }) => setDescription(value)} maxLength={4000} />
      </Field>
      <Field label="Category" hint="Under which head it stands in the list.">
        <Input value={category} onChange={(_, { value }) => setCategory(value)} maxLength={100} />
      </Field>
      {there?.builtIn && (
        <MessageBar intent="warning">
          <MessageBarBody>A query of this name is built in and stays. Choose another name.</MessageBarBody>
        </MessageBar>
      )}
      {there && !there.builtIn && (
        <MessageBar intent="warning" layout="multiline">
          <MessageBarBody>
            {`There is a query of this name${there.updatedBy ? `, saved by ${visible(there.updatedBy)}` : ""}. It is replaced for everybody.`}
          </MessageBarBody>
        </MessageBar>
      )}
    </Sheet>
  );
}
