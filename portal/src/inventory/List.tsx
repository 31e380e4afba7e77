/** A list of the inventory: while it is looked for, why it is empty, its rows, its foot, and what opens beside it. */
import { Spinner, Text } from "@fluentui/react-components";
import type { ReactNode } from "react";
import type { Filter } from "../filter/filter";
import { whenText } from "../moments";
import { Problem } from "../states/Problem";
import { WhyEmpty } from "../states/WhyEmpty";
import { kindWords } from "./kinds";
import { useListStyles } from "./styles";

interface ListProps {
  kind: string;
  at: string;
  filter: Filter;
  pages: { error: Error | null; isPending: boolean; isSuccess: boolean; refetch: () => unknown };
  /** What is said while it is looked for. */
  looking: string;
  empty: boolean;
  /** How many there are. */
  counted: string;
  chooser: ReactNode;
  beside: ReactNode;
  children: ReactNode;
}

export function List({ kind, at, filter, pages, looking, empty, counted, chooser, beside, children }: ListProps) {
  const styles = useListStyles();
  return (
    <div className={styles.place}>
      <div className={styles.list}>
        {pages.error && <Problem error={pages.error} again={() => void pages.refetch()} />}
        {pages.isPending && <Spinner label={looking} />}
        {pages.isSuccess && empty && (
          <WhyEmpty
            filter={{ ...filter, window: "all", from: "", to: "" }}
            table="ConfigurationData"
            of={kindWords(kind)}
            kind={kind}
            at={at}
          />
        )}
        {!empty && children}
        <footer className={styles.foot}>
          <Text size={200} role="status">
            {counted}
            {at ? `, as of ${whenText(at)}` : ""}
          </Text>
          {chooser}
        </footer>
      </div>
      {beside}
    </div>
  );
}
