import { makeStyles, Spinner, Text, tokens } from "@fluentui/react-components";
import type { ReactNode } from "react";
import { Problem } from "../states/Problem";

const useStyles = makeStyles({
  place: { display: "flex", flexGrow: 1, minHeight: 0 },
  list: { display: "flex", flexDirection: "column", flexGrow: 1, minWidth: 0, minHeight: 0 },
  foot: {
    display: "flex",
    flexShrink: 0,
    alignItems: "center",
    justifyContent: "space-between",
    columnGap: tokens.spacingHorizontalM,
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderTop: `1px solid ${tokens.colorNeutralStroke2}`,
  },
});

export interface Asked {
  error: Error | null;
  isPending: boolean;
  /** What is shown is the answer to an earlier question. */
  isPlaceholderData?: boolean;
  refetch: () => unknown;
}

interface ListProps {
  /** None: it is there. */
  asked?: Asked;
  /** What is said while it is looked for. */
  looking?: string;
  /** How many there are. */
  status: ReactNode;
  /** What else stands in the foot. */
  foot?: ReactNode;
  beside?: ReactNode;
  /** The rows, or why there are none. */
  children: ReactNode;
}

/** A list on its page: while it is looked for, what went wrong, its rows, its foot, and what opens beside it. */
export function List({ asked, looking = "", status, foot, beside, children }: ListProps) {
  const styles = useStyles();
  return (
    <div className={styles.place}>
      <div className={styles.list} aria-busy={asked?.isPlaceholderData ?? false}>
        {asked?.error && <Problem error={asked.error} again={() => void asked.refetch()} />}
        {asked?.isPending && <Spinner label={looking} />}
        {children}
        <footer className={styles.foot}>
          <Text size={200} role="status">
            {status}
          </Text>
          {foot}
        </footer>
      </div>
      {beside}
    </div>
  );
}
