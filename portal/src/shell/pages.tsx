/** The pages there are, in the order of the navigation. */
import {
  ClipboardTaskListLtrRegular,
  DesktopRegular,
  GridRegular,
  HistoryRegular,
  SearchSquareRegular,
} from "@fluentui/react-icons";
import { type ComponentType, lazy, type ReactElement } from "react";
import type { Session } from "../api/client";
import type { PageProps } from "./page";

interface PageEntry {
  path: string;
  label: string;
  icon: ReactElement;
  page: ComponentType<PageProps>;
  /** Who sees it in the navigation, if not everybody; the server refuses the others in any case. */
  whoSees?: (session: Session) => boolean;
}

export const PAGES: PageEntry[] = [
  { path: "/", label: "Overview", icon: <GridRegular />, page: lazy(() => import("../overview/Overview")) },
  { path: "/changes", label: "Changes", icon: <HistoryRegular />, page: lazy(() => import("../changes/Changes")) },
  {
    path: "/inventory",
    label: "Inventory",
    icon: <SearchSquareRegular />,
    page: lazy(() => import("../inventory/Inventory")),
  },
  { path: "/machines", label: "Machines", icon: <DesktopRegular />, page: lazy(() => import("../machines/Machines")) },
  { path: "/rules", label: "Rules", icon: <ClipboardTaskListLtrRegular />, page: lazy(() => import("../rules/Rules")) },
];

/** The page of an address; the first where there is none. */
export const pageOf = (path: string): PageEntry => PAGES.find((page) => page.path === path) ?? (PAGES[0] as PageEntry);
