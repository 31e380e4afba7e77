/** What `render` asks for. */

import { makeStyles, Text, tokens } from "@fluentui/react-components";
import { LineChart, PieChart, ScatterChart } from "echarts/charts";
import { TitleComponent } from "echarts/components";
import { use } from "echarts/core";
import { useMemo } from "react";
import Canvas from "../overview/Canvas";
import { visible } from "../text";
import type { Result } from "./ask";
import { cellText } from "./cells";
import { picture } from "./chart";

use([LineChart, PieChart, ScatterChart, TitleComponent]);

const useStyles = makeStyles({
  place: { flexGrow: 1, minHeight: 0, overflow: "auto", backgroundColor: tokens.colorNeutralBackground1 },
  note: { display: "block", padding: tokens.spacingHorizontalM },
  cards: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalXXL, padding: tokens.spacingHorizontalXL },
  card: { display: "flex", flexDirection: "column" },
  number: { fontSize: tokens.fontSizeHero900, lineHeight: tokens.lineHeightHero900 },
});

export default function ResultChart({ result, dark }: { result: Result; dark: boolean }) {
  const styles = useStyles();
  const found = useMemo(() => (result.chart === "card" ? "" : picture(result)), [result]);
  if (result.chart === "card") {
    const [cells = []] = result.rows;
    return (
      <div className={styles.place}>
        <div className={styles.cards}>
          {result.columns.map((column, at) => (
            <div key={column.name} className={styles.card}>
              <Text className={styles.number}>{visible(cellText(cells[at])) || "(nothing)"}</Text>
              <Text>{visible(column.name)}</Text>
            </div>
          ))}
        </div>
      </div>
    );
  }
  if (typeof found === "string") return <Text className={styles.note}>{found}</Text>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled where there is little room, by keys, too
    <section className={styles.place} aria-label="Chart" tabIndex={0}>
      {found.note && <Text className={styles.note}>{found.note}</Text>}
      <Canvas label={found.label} height={360} dark={dark} option={found.option} />
    </section>
  );
}
