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
  DesktopRegular,
  GridRegular,
  HistoryRegular,
  PersonRegular,
  SearchSquareRegular,
  SignOutRegular,
  WeatherMoonRegular,
  WeatherSunnyRegular,
} from "@fluentui/react-icons";
import type { ReactNode } from "react";
import type { Session } from "../api/client";
import { read, write } from "../filter/filter";
import { go, usePlace } from "../location";
import { useNarrow } from "./media";
import { useSigning } from "./session";

const PLACES = [
  { path: "/", label: "Overview", icon: <GridRegular /> },
  { path: "/changes", label: "Changes", icon: <HistoryRegular /> },
  { path: "/inventory", label: "Inventory", icon: <SearchSquareRegular /> },
  { path: "/machines", label: "Machines", icon: <DesktopRegular /> },
];

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
  },
  narrow: { gridTemplateRows: "auto 1fr auto" },
  tabs: { display: "flex" },
  tab: { paddingLeft: tokens.spacingHorizontalXS, paddingRight: tokens.spacingHorizontalXS },
  spread: { justifyContent: "space-around" },
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
  const here = PLACES.some((place) => place.path === path) ? path : "/";
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
          {PLACES.map((place) => (
            <Tab
              key={place.path}
              value={place.path}
              icon={narrow ? null : place.icon}
              className={narrow ? styles.tab : ""}
            >
              {place.label}
            </Tab>
          ))}
        </TabList>
      </nav>
      <main className={mergeClasses(styles.content, narrow && styles.across)}>{children}</main>
    </div>
  );
}
