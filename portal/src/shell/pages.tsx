/** The pages there are, in the order of the navigation. */
import {
  ClipboardTaskListLtrRegular,
  CodeRegular,
  DesktopRegular,
  GridRegular,
  HistoryRegular,
  PeopleRegular,
  SearchSquareRegular,
} from "@fluentui/react-icons";
import { type ComponentType, lazy, type ReactElement } from "react";
import type { Session } from "../api/client";
import type { PageProps } from "./page";

type Load = () => Promise<{ default: ComponentType<PageProps> }>;

interface PageEntry {
  path: string;
  label: string;
  icon: ReactElement;
  /** Load its code; `page` does, too, when it is drawn. */
  load: Load;
  page: ComponentType<PageProps>;
  /** Who sees it in the navigation, if not everybody; the server refuses the others in any case. */
  whoSees?: (session: Session) => boolean;
}

const from = (load: Load) => ({ load, page: lazy(load) });

export const PAGES: PageEntry[] = [
  { path: "/", label: "Overview", icon: <GridRegular />, ...from(() => import("../overview/Overview")) },
  { path: "/changes", label: "Changes", icon: <HistoryRegular />, ...from(() => import("../changes/Changes")) },
  {
    path: "/inventory",
    label: "Inventory",
    icon: <SearchSquareRegular />,
    ...from(() => import("../inventory/Inventory")),
  },
  { path: "/machines", label: "Machines", icon: <DesktopRegular />, ...from(() => import("../machines/Machines")) },
  { path: "/rules", label: "Rules", icon: <ClipboardTaskListLtrRegular />, ...from(() => import("../rules/Rules")) },
  { path: "/query", label: "Query", icon: <CodeRegular />, ...from(() => import("../query/Query")) },
  { path: "/people", label: "People", icon: <PeopleRegular />, ...from(() => import("../people/People")) },
];

/** The page of an address; the first where there is none. */
export const pageOf = (path: string): PageEntry => PAGES.find((page) => page.path === path) ?? (PAGES[0] as PageEntry);
