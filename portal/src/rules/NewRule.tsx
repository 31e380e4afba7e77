import { Button, Field, Input, makeStyles, Radio, RadioGroup, Spinner, Text, tokens } from "@fluentui/react-components";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { request, type Schemas } from "../api/client";
import { Problem } from "../states/Problem";
import { Sheet } from "../states/Sheet";
import { visible } from "../text";
import { isObject, parse } from "./document";
import { keepDraft } from "./editor/draft";
import { check, textOf } from "./rules";

const useStyles = makeStyles({
  file: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalS },
  hidden: { display: "none" },
  choice: { display: "flex", flexDirection: "column" },
  about: { color: tokens.colorNeutralForeground2 },
});

/** As the server has it (`Rulebook`). */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.() -]{0,200}$/;
const LARGEST = 2 * 2 ** 20;

interface NewRuleProps {
  from: "new" | "import";
  taken: string[];
  close: () => void;
  edit: (name: string) => void;
}

/** The name of a new rule, and what it begins with: it is saved in the form, not here. */
export function NewRule({ from, taken, close, edit }: NewRuleProps) {
  const styles = useStyles();
  const client = useQueryClient();
  const picker = useRef<HTMLInputElement>(null);
  const [name, setName] = useState("");
  const [template, setTemplate] = useState("Recommended");
  const [file, setFile] = useState<{ name: string; text: string } | null>(null);
  const templates = useQuery({
    queryKey: ["rule-templates"],
    queryFn: ({ signal }) => request<Schemas["RuleTemplates"]>("GET", "/api/v1/rule-templates", { signal }),
    staleTime: Number.POSITIVE_INFINITY,
    enabled: from === "new",
  });
  const read = useMutation({
    mutationFn: async (chosen: File) => {
      if (chosen.size > LARGEST) throw new Error(`${chosen.name} is larger than ${LARGEST / 2 ** 20} MiB.`);
      const text = (await chosen.text()).replace(/^\ufeff/, "");
      const found = parse(text);
      if ("wrong" in found) {
        const { line, column, message } = found.wrong;
        throw new Error(`${chosen.name} is no JSON: line ${line}, column ${column}: ${message}`);
      }
      await check(text);
      return { chosen, text, value: found.value };
    },
    onSuccess: ({ chosen, text, value }) => {
      setFile({ name: chosen.name, text });
      const named =
        isObject(value) && typeof value["name"] === "string" && NAME.test(value["name"]) ? value["name"] : "";
      const plain = chosen.name.replace(/\.json$/i, "").replaceAll(/[^A-Za-z0-9_.() -]/g, "-");
      setName((written) => written || named || plain);
    },
  });
  const known = taken.includes(name.toLowerCase());
  const wrong =
    name && !NAME.test(name)
      ? "1 to 200 letters, digits, spaces and -_.(); it begins with a letter, a digit or _."
      : name && known && from === "new"
        ? "There is a rule of this name already."
        : "";
  const content =
    from === "import" ? file?.text : textOf(templates.data?.value.find((one) => one.name === template) ?? {});
  const go = () => {
    keepDraft(client, name, { text: content ?? "", ...(known ? {} : { etag: "", base: "" }) });
    edit(name);
    close();
  };

  return (
    <Sheet
      title={from === "new" ? "New data collection rule" : "Import a data collection rule"}
      action="Continue"
      act={go}
      close={close}
      busy={read.isPending}
      ready={Boolean(name) && !wrong && Boolean(content) && content !== "{}"}
    >
      {from === "import" && (
        <Field label="File" hint="A resource of ARM, an ARM template with one rule, or Terraform's JSON.">
          <div className={styles.file}>
            <input
              ref={picker}
              type="file"
              accept=".json,application/json"
              className={styles.hidden}
              aria-label="File"
              onChange={(event) => {
                const chosen = event.target.files?.[0];
                if (chosen) read.mutate(chosen);
                event.target.value = "";
              }}
            />
            <Button onClick={() => picker.current?.click()}>Choose a file</Button>
            <Text>{file ? visible(file.name) : "none chosen"}</Text>
          </div>
        </Field>
      )}
      {read.error && <Problem error={read.error} />}
      <Field
        label="Name"
        required
        validationState={wrong ? "error" : "none"}
        validationMessage={wrong || null}
        hint={
          from === "import" && known ? "There is a rule of this name: the file will replace it when you save." : null
        }
      >
        <Input value={name} onChange={(_, { value }) => setName(value)} />
      </Field>
      {from === "new" && (
        <Field label="Begin with">
          {templates.isPending && <Spinner size="tiny" />}
          {templates.error && <Problem error={templates.error} again={() => void templates.refetch()} />}
          <RadioGroup value={template} onChange={(_, { value }) => setTemplate(value)}>
            {templates.data?.value.map((one) => (
              <Radio
                key={one.name}
                value={one.name}
                label={
                  <span className={styles.choice}>
                    {one.name}
                    <Text size={200} className={styles.about}>
                      {one.description}
                    </Text>
                  </span>
                }
              />
            ))}
          </RadioGroup>
        </Field>
      )}
    </Sheet>
  );
}
