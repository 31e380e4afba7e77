import {
  Accordion,
  AccordionHeader,
  AccordionItem,
  AccordionPanel,
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  makeStyles,
  tokens,
} from "@fluentui/react-components";
import type { Json, Path } from "../document";
import type { FieldSpec } from "../fields";
import { FieldInput } from "./FieldInput";
import type { Finding } from "./findings";

const useStyles = makeStyles({
  form: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalM },
});

interface ItemDialogProps {
  title: string;
  fields: FieldSpec[];
  document: Json;
  place: Path;
  findings: Finding[];
  change: (document: Json) => void;
  done: () => void;
  cancel: () => void;
}

/** One item of a list. What is changed is checked at once; Cancel takes it back. */
export function ItemDialog({ title, fields, document, place, findings, change, done, cancel }: ItemDialogProps) {
  const styles = useStyles();
  const input = (field: FieldSpec) => (
    <FieldInput
      key={field.names[0]}
      field={field}
      document={document}
      holder={place}
      findings={findings}
      change={change}
    />
  );
  return (
    <Dialog open onOpenChange={(_, { open }) => open || cancel()}>
      <DialogSurface>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            done();
          }}
        >
          <DialogBody>
            <DialogTitle>{title}</DialogTitle>
            <DialogContent className={styles.form}>
              {fields.filter((field) => !field.rare).map(input)}
              <Accordion collapsible>
                <AccordionItem value="more">
                  <AccordionHeader>More</AccordionHeader>
                  <AccordionPanel className={styles.form}>
                    {fields.filter((field) => field.rare).map(input)}
                  </AccordionPanel>
                </AccordionItem>
              </Accordion>
            </DialogContent>
            <DialogActions>
              <Button onClick={cancel}>Cancel</Button>
              <Button type="submit" appearance="primary">
                Done
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}
