import { makeStyles, tokens } from "@fluentui/react-components";

export const useListStyles = makeStyles({
  place: { display: "flex", flexGrow: 1, minHeight: 0 },
  list: { display: "flex", flexDirection: "column", flexGrow: 1, minWidth: 0, minHeight: 0 },
  foot: {
    display: "flex",
    alignItems: "center",
    justifyContent: "space-between",
    columnGap: tokens.spacingHorizontalM,
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderTop: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  card: { display: "flex", flexDirection: "column", minWidth: 0, overflow: "hidden" },
  clip: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", display: "block" },
});
