import {
  Button,
  Menu,
  MenuItem,
  MenuList,
  MenuPopover,
  MenuTrigger,
  makeStyles,
  mergeClasses,
  Tab,
  TabList,
  Text,
  tokens,
} from "@fluentui/react-components";
import {
  MoreHorizontalRegular,
  PersonRegular,
  SignOutRegular,
  WeatherMoonRegular,
  WeatherSunnyRegular,
} from "@fluentui/react-icons";
import type { ReactNode } from "react";
import type { Session } from "../api/client";
import { read, write } from "../filter/filter";
import { go, usePlace } from "../location";
import { useNarrow } from "./media";
import { PAGES, pageOf } from "./pages";
import { useSigning } from "./session";

/** How many pages the bar at the foot of a narrow screen has room for; the others stand in a menu. */
const ROOM = 4;

const useStyles = makeStyles({
  frame: { height: "100%", display: "grid", gridTemplateRows: "auto 1fr", gridTemplateColumns: "auto 1fr" },
  top: {
    gridColumn: "1 / -1",
    display: "flex",
    alignItems: "center",
    columnGap: tokens.spacingHorizontalS,
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  name: { flexGrow: 1 },
  navigation: {
    padding: tokens.spacingVerticalS,
    backgroundColor: tokens.colorNeutralBackground1,
    borderRight: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  below: {
    gridColumn: "1 / -1",
    gridRow: "3",
    padding: 0,
    borderRight: "none",
    borderTop: `1px solid ${tokens.colorNeutralStroke2}`,
    display: "flex",
  },
  narrow: { gridTemplateRows: "auto 1fr auto" },
  tabs: { display: "flex" },
  tab: { paddingLeft: tokens.spacingHorizontalXS, paddingRight: tokens.spacingHorizontalXS },
  spread: { justifyContent: "space-around", flexGrow: 1 },
  content: { minWidth: 0, minHeight: 0, overflow: "hidden", display: "flex", flexDirection: "column" },
  across: { gridColumn: "1 / -1" },
});

interface FrameProps {
  session: Session;
  dark: boolean;
  toggleTheme: () => void;
  children: ReactNode;
}

export function Frame({ session, dark, toggleTheme, children }: FrameProps) {
  const styles = useStyles();
  const narrow = useNarrow();
  const { path, query } = usePlace();
  const { signOut } = useSigning();
  const here = pageOf(path).path;
  const seen = PAGES.filter((page) => page.whoSees?.(session) ?? true);
  const inBar = narrow && seen.length > ROOM ? seen.slice(0, ROOM) : seen;
  const inMenu = seen.slice(inBar.length);
  // The filter goes along from page to page; what else stands in the address belongs to one page.
  const visit = (target: string) => go(target, write(read(query), new URLSearchParams()));

  return (
    <div className={mergeClasses(styles.frame, narrow && styles.narrow)}>
      <header className={styles.top}>
        <Text weight="semibold" className={styles.name}>
          whatchanged
        </Text>
        <Button
          appearance="subtle"
          icon={dark ? <WeatherSunnyRegular /> : <WeatherMoonRegular />}
          aria-label={dark ? "Light colours" : "Dark colours"}
          onClick={toggleTheme}
        />
        <Menu>
          <MenuTrigger disableButtonEnhancement>
            <Button appearance="subtle" icon={<PersonRegular />} aria-label={`Signed in as ${session.name}`}>
              {narrow ? null : session.name}
            </Button>
          </MenuTrigger>
          <MenuPopover>
            <MenuList>
              <MenuItem disabled>
                {session.name}, {session.role}
                {session.machineGroups ? ` of ${session.machineGroups.join(", ")}` : ""}
              </MenuItem>
              <MenuItem icon={<SignOutRegular />} onClick={() => void signOut()}>
                Sign out
              </MenuItem>
            </MenuList>
          </MenuPopover>
        </Menu>
      </header>
      <nav className={mergeClasses(styles.navigation, narrow && styles.below)} aria-label="Pages">
        <TabList
          vertical={!narrow}
          selectedValue={here}
          onTabSelect={(_, { value }) => visit(String(value))}
          className={mergeClasses(styles.tabs, narrow && styles.spread)}
          size={narrow ? "small" : "medium"}
        >
          {inBar.map((page) => (
            <Tab
              key={page.path}
              value={page.path}
              icon={narrow ? null : page.icon}
              className={narrow ? styles.tab : ""}
            >
              {page.label}
            </Tab>
          ))}
        </TabList>
        {inMenu.length > 0 && (
          <Menu>
            <MenuTrigger disableButtonEnhancement>
              <Button
                appearance="subtle"
                icon={<MoreHorizontalRegular />}
                aria-label={
                  inMenu.some((page) => page.path === here) ? `More pages: ${pageOf(here).label}` : "More pages"
                }
              />
            </MenuTrigger>
            <MenuPopover>
              <MenuList>
                {inMenu.map((page) => (
                  <MenuItem key={page.path} icon={page.icon} onClick={() => visit(page.path)}>
                    {page.label}
                  </MenuItem>
                ))}
              </MenuList>
            </MenuPopover>
          </Menu>
        )}
      </nav>
      <main className={mergeClasses(styles.content, narrow && styles.across)}>{children}</main>
    </div>
  );
}
