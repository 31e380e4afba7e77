import { Dropdown, Field, Option } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { LISTS, ROLES } from "./access";

export interface RightsOf {
  role: string;
  /** Null: all. */
  groups: string[] | null;
}

interface RightsProps {
  value: RightsOf;
  onChange: (rights: RightsOf) => void;
  roles?: string[];
}

/** A role, and the machine groups it is limited to. */
export function Rights({ value, onChange, roles = Object.keys(ROLES) }: RightsProps) {
  const known = useQuery(LISTS.groups);
  const names = [...new Set([...(known.data ?? []).map((group) => group.name), ...(value.groups ?? [])])].sort();
  const one = value.role === "Sender";
  const hint = one
    ? "Sends records to one rule, and may read nothing."
    : `${value.role} ${ROLES[value.role as keyof typeof ROLES] ?? ""}.`;
  return (
    <>
      <Field label="Role" hint={hint}>
        <Dropdown
          value={value.role}
          selectedOptions={[value.role]}
          onOptionSelect={(_, { optionValue = "Reader" }) =>
            onChange({ role: optionValue, groups: optionValue === "Owner" ? null : value.groups })
          }
        >
          {roles.map((role) => (
            <Option key={role} value={role}>
              {role}
            </Option>
          ))}
        </Dropdown>
      </Field>
      {value.role !== "Owner" && (
        <Field
          label={one ? "Machine group" : "Machine groups"}
          hint={one ? "Whoever may see it sees what is sent." : "Nothing chosen: all, also those to come."}
        >
          <Dropdown
            multiselect={!one}
            placeholder={one ? "default" : "All machine groups"}
            value={value.groups?.join(", ") ?? ""}
            selectedOptions={value.groups ?? []}
            onOptionSelect={(_, { selectedOptions }) =>
              onChange({ ...value, groups: selectedOptions.length ? selectedOptions : null })
            }
          >
            {names.map((name) => (
              <Option key={name} value={name}>
                {name}
              </Option>
            ))}
          </Dropdown>
        </Field>
      )}
    </>
  );
}
