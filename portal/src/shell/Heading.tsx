import { makeStyles } from "@fluentui/react-components";

const useStyles = makeStyles({
  heading: { position: "absolute", width: "1px", height: "1px", overflow: "hidden", clipPath: "inset(50%)", margin: 0 },
});

/** The page's heading, for those who do not see which page the navigation marks. */
export function Heading({ children }: { children: string }) {
  return <h1 className={useStyles().heading}>{children}</h1>;
}
