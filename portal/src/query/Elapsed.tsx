/** How long a question has taken by now. */
import { makeStyles, ProgressBar, Text, tokens } from "@fluentui/react-components";
import { useEffect, useState } from "react";

const useStyles = makeStyles({
  place: {
    padding: tokens.spacingHorizontalM,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalS,
  },
});

export function Elapsed() {
  const styles = useStyles();
  const [began] = useState(() => performance.now());
  const [now, setNow] = useState(began);
  useEffect(() => {
    const ticking = window.setInterval(() => setNow(performance.now()), 100);
    return () => window.clearInterval(ticking);
  }, []);
  return (
    <div className={styles.place}>
      <ProgressBar aria-label="The query runs" />
      {/* Who hears the page is told once that it runs. */}
      <Text size={200} aria-hidden>
        Running, {((now - began) / 1000).toFixed(1)} s
      </Text>
    </div>
  );
}
