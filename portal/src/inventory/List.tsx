/** A list of the inventory: why it is empty, or its rows; and as of when. */
import type { ReactNode } from "react";
import type { Filter } from "../filter/filter";
import { type Asked, List as Framed } from "../grid/List";
import { whenText } from "../moments";
import { WhyEmpty } from "../states/WhyEmpty";
import { kindWords } from "./kinds";

interface ListProps {
  kind: string;
  at: string;
  filter: Filter;
  pages: Asked & { isSuccess: boolean };
  looking: string;
  empty: boolean;
  /** How many there are. */
  counted: string;
  chooser: ReactNode;
  beside: ReactNode;
  children: ReactNode;
}

export function List({ kind, at, filter, pages, looking, empty, counted, chooser, beside, children }: ListProps) {
  return (
    <Framed
      asked={pages}
      looking={looking}
      status={`${counted}${at ? `, as of ${whenText(at)}` : ""}`}
      foot={chooser}
      beside={beside}
    >
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
    </Framed>
  );
}
