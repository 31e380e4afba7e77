import { Button, Field, Input } from "@fluentui/react-components";
import { useState } from "react";
import { newPassword, SHORTEST } from "./access";

interface PasswordProps {
  label?: string;
  value: string;
  onChange: (value: string) => void;
}

/** A password to set, which can be made up here. */
export function Password({ label = "Password", value, onChange }: PasswordProps) {
  const [shown, setShown] = useState(false);
  const short = value.length > 0 && value.length < SHORTEST;
  return (
    <Field
      label={label}
      hint={short ? null : `At least ${SHORTEST} characters.`}
      {...(short ? { validationState: "error" as const, validationMessage: `At least ${SHORTEST} characters.` } : {})}
    >
      <Input
        type={shown ? "text" : "password"}
        autoComplete="new-password"
        value={value}
        onChange={(_, given) => onChange(given.value)}
        contentAfter={
          <Button
            size="small"
            appearance="transparent"
            onClick={() => {
              setShown(true);
              onChange(newPassword());
            }}
          >
            Make one up
          </Button>
        }
      />
    </Field>
  );
}
