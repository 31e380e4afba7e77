/** A file of everything that the filter lets through: it says how far it is, and can be stopped. */
import {
  Button,
  Menu,
  MenuItem,
  MenuList,
  MenuPopover,
  MenuTrigger,
  ProgressBar,
  Text,
} from "@fluentui/react-components";
import { ArrowDownloadRegular, DismissRegular } from "@fluentui/react-icons";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { download, type FormName } from "../files";
import { numberText } from "../moments";
import { Problem } from "../states/Problem";
import { type Wanted, written } from "./download";

export function useExport(wanted: Wanted) {
  const ending = useRef<AbortController | null>(null);
  const [done, setDone] = useState<[number, number]>([0, 0]);
  useEffect(() => () => ending.current?.abort(), []);
  const work = useMutation({
    mutationFn: async (form: FormName) => {
      const control = new AbortController();
      ending.current = control;
      setDone([0, 0]);
      const content = await written(wanted, form, (now, all) => setDone([now, all]), control.signal);
      const day = (wanted.at || new Date().toISOString()).slice(0, 10);
      download(`${wanted.kind.toLowerCase()}-${day}.${form}`, content);
    },
  });
  const stopped = ending.current?.signal.aborted;
  return { work, done, stop: () => ending.current?.abort(), error: stopped ? null : work.error };
}

type Exporting = ReturnType<typeof useExport>;

export function ExportButton({ work }: Exporting) {
  return (
    <Menu>
      <MenuTrigger disableButtonEnhancement>
        <Button icon={<ArrowDownloadRegular />} appearance="subtle" disabled={work.isPending}>
          Export
        </Button>
      </MenuTrigger>
      <MenuPopover>
        <MenuList>
          <MenuItem onClick={() => work.mutate("csv")}>CSV</MenuItem>
          <MenuItem onClick={() => work.mutate("json")}>JSON</MenuItem>
        </MenuList>
      </MenuPopover>
    </Menu>
  );
}

export function ExportProgress({ work, done: [now, all], stop, error }: Exporting) {
  if (error) return <Problem error={error} />;
  if (!work.isPending) return null;
  const words = all ? `Exported ${numberText(now)} of ${numberText(all)} machines` : "Looking what is to be exported";
  return (
    <div style={{ padding: "4px 12px", display: "flex", alignItems: "center", columnGap: 12 }}>
      <Text size={200}>{words}</Text>
      <ProgressBar aria-label="Export" style={{ flexGrow: 1 }} {...(all ? { value: now / all } : {})} />
      <Button size="small" appearance="subtle" icon={<DismissRegular />} onClick={stop}>
        Stop
      </Button>
    </div>
  );
}
