import { Combobox, Option } from "@fluentui/react-components";
import { useState } from "react";
import type { Machine } from "../api/client";
import { visible } from "../text";

/** Options that are in the document at a time. */
const SHOWN = 50;

interface MachinePickerProps {
  machines: Machine[];
  chosen: Machine | null;
  choose: (machine: Machine | null) => void;
}

const nameOf = (machine: Machine) => visible(`${machine.computer} (${machine.machineGroup})`);

/** One machine of ten thousand: a part of its name finds it. */
export function MachinePicker({ machines, chosen, choose }: MachinePickerProps) {
  const [text, setText] = useState<string | null>(null);
  const part = (text ?? "").toLowerCase();
  const fitting = machines.filter((machine) => nameOf(machine).toLowerCase().includes(part));
  return (
    <Combobox
      freeform
      placeholder="A part of its name"
      value={text ?? (chosen ? nameOf(chosen) : "")}
      selectedOptions={chosen ? [chosen.id] : []}
      onChange={(event) => {
        setText(event.target.value);
        choose(null);
      }}
      onOptionSelect={(_, { optionValue }) => {
        setText(null);
        choose(machines.find((machine) => machine.id === optionValue) ?? null);
      }}
    >
      {fitting.slice(0, SHOWN).map((machine) => (
        <Option key={machine.id} value={machine.id} text={nameOf(machine)}>
          {nameOf(machine)}
        </Option>
      ))}
      {fitting.length > SHOWN && (
        <Option disabled value="" text="">{`${fitting.length - SHOWN} more: write a part of the name`}</Option>
      )}
      {fitting.length === 0 && (
        <Option disabled value="" text="">
          No machine of this name
        </Option>
      )}
    </Combobox>
  );
}
