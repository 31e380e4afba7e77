/** What is beside a list where there is room for both, and over it where there is not. */
import {
  Button,
  DrawerBody,
  DrawerHeader,
  DrawerHeaderTitle,
  InlineDrawer,
  makeStyles,
  OverlayDrawer,
  tokens,
} from "@fluentui/react-components";
import { DismissRegular } from "@fluentui/react-icons";
import type { ReactNode } from "react";
import { useMedia } from "../shell/media";

const useStyles = makeStyles({
  over: { width: "min(40rem, 100vw)" },
  beside: { width: "min(40rem, 45vw)", flexShrink: 0 },
  title: { overflowWrap: "anywhere" },
  body: {
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalM,
    paddingBottom: tokens.spacingVerticalXL,
  },
});

interface DrawerProps {
  /** What it is: `Change`. */
  of: string;
  title: ReactNode;
  tabs?: ReactNode;
  close: () => void;
  children: ReactNode;
}

export function Drawer({ of, title, tabs, close, children }: DrawerProps) {
  const styles = useStyles();
  const beside = useMedia("(min-width: 1100px)");
  const content = (
    <>
      <DrawerHeader>
        <DrawerHeaderTitle
          className={styles.title}
          action={<Button appearance="subtle" aria-label="Close" icon={<DismissRegular />} onClick={close} />}
        >
          {title}
        </DrawerHeaderTitle>
        {tabs}
      </DrawerHeader>
      <DrawerBody>
        <div className={styles.body}>{children}</div>
      </DrawerBody>
    </>
  );
  if (beside) {
    return (
      <InlineDrawer open separator position="end" className={styles.beside} role="complementary" aria-label={of}>
        {content}
      </InlineDrawer>
    );
  }
  return (
    <OverlayDrawer
      open
      position="end"
      className={styles.over}
      aria-label={of}
      onOpenChange={(_, { open }) => open || close()}
    >
      {content}
    </OverlayDrawer>
  );
}
