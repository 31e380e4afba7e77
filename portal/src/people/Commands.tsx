import { makeStyles, tokens } from "@fluentui/react-components";
import type { ReactNode } from "react";

const useStyles = makeStyles({
  commands: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalS },
});

/** What may be done with what a drawer shows. */
export const Commands = ({ children }: { children: ReactNode }) => (
  <div className={useStyles().commands}>{children}</div>
);
