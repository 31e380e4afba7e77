import { makeStyles, Text } from "@fluentui/react-components";
import type { ReactNode } from "react";
import { Name } from "../states/Name";
import { visible } from "../text";

const useStyles = makeStyles({
  card: { display: "flex", flexDirection: "column", minWidth: 0, overflow: "hidden" },
  clip: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", display: "block" },
});

interface CardProps {
  name: string;
  mark?: ReactNode;
  /** What else is said of it; what is empty is left out. */
  facts: (string | null | undefined)[];
}

/** A row where there is room for one column. */
export function Card({ name, mark, facts }: CardProps) {
  const styles = useStyles();
  return (
    <div className={styles.card}>
      <Text weight="semibold" className={styles.clip}>
        <Name text={name} />
      </Text>
      <Text size={200} className={styles.clip}>
        {mark}{" "}
        {facts
          .filter(Boolean)
          .map((fact) => visible(fact ?? ""))
          .join(" · ")}
      </Text>
    </div>
  );
}
