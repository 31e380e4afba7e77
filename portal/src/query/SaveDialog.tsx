/** A query under a name. What is there already is replaced only by who says so. */
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Field,
  Input,
  MessageBar,
  MessageBarBody,
  makeStyles,
  Textarea,
  tokens,
} from "@fluentui/react-components";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Problem } from "../states/Problem";
import { visible } from "../text";
import { list, SAVED, type SavedQuery, save } from "./saved";

const useStyles = makeStyles({
  form: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalM },
});

interface SaveDialogProps {
  query: string;
  /** What was opened, whose name and description are at hand. */
  opened: SavedQuery | null;
  saved: (saved: SavedQuery) => void;
  close: () => void;
}

export function SaveDialog({ query, opened, saved, close }: SaveDialogProps) {
  const styles = useStyles();
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
  const submit = (event: FormEvent) => {
    event.preventDefault();
    saving.mutate();
  };
  return (
    <Dialog open onOpenChange={(_, { open }) => open || close()}>
      <DialogSurface>
        <form onSubmit={submit}>
          <DialogBody>
            <DialogTitle>Save the query</DialogTitle>
            <DialogContent className={styles.form}>
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
              {saving.error && <Problem error={saving.error} />}
            </DialogContent>
            <DialogActions>
              <Button type="button" onClick={close}>
                Cancel
              </Button>
              <Button
                type="submit"
                appearance="primary"
                disabled={saving.isPending || known.isPending || !name.trim() || there?.builtIn === true}
              >
                {there && !there.builtIn ? "Replace" : "Save"}
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}
