/**
 * Rows in columns, of which only those in sight are in the document. One stop of the Tab key; arrows move inside,
 * Enter opens a row, `f` asks what to do with a cell. Above the first row stand the heads: there Enter sorts.
 */
import {
  Menu,
  MenuItem,
  MenuList,
  MenuPopover,
  makeStyles,
  mergeClasses,
  type PositioningVirtualElement,
  tokens,
} from "@fluentui/react-components";
import { CopyRegular, FilterAddRegular, FilterDismissRegular } from "@fluentui/react-icons";
import {
  type KeyboardEvent,
  type ReactElement,
  type ReactNode,
  useCallback,
  useEffect,
  useId,
  useRef,
  useState,
} from "react";
import type { FieldName } from "../filter/filter";
import { useNarrow } from "../shell/media";
import { visible } from "../text";
import { Row, useRowStyles } from "./Row";
import { useScroll } from "./useScroll";

export interface Column<T> {
  id: string;
  label: string;
  /** A size of CSS grid, such as `minmax(8rem, 2fr)`. */
  width: string;
  text: (row: T) => string;
  /** How it looks, if not as its text. */
  look?: (row: T) => ReactNode;
  /** What "only this" and "not this" speak of; its value, if it is not the text. */
  field?: FieldName | ((row: T) => FieldName);
  value?: (row: T) => string;
  /** It is what a card is named by; else the first one is. */
  names?: true;
  /** Whether the list can be had in its order. */
  sorts?: true;
  /** Shown only to whoever chooses it. */
  extra?: true;
  /** Numbers stand one below the other. */
  numeric?: boolean;
}

/** What else may be done with a row, from the menu of a cell. */
export interface Action {
  label: string;
  icon: ReactElement;
  act: () => void;
}

export interface Line<T> {
  key: string;
  /** The row; of a group, its newest; of a note, that before it. */
  row: T;
  group?: { label: string; open: boolean; toggle: () => void };
  inGroup?: boolean;
  /** Words that stand among the rows. */
  note?: string;
}

export interface Order {
  column: string;
  descending: boolean;
}

interface GridProps<T> {
  label: string;
  columns: Column<T>[];
  lines: Line<T>[];
  /** What a row looks like where there is room for one column. */
  card: (row: T) => ReactNode;
  open: (row: T) => void;
  selected?: string | undefined;
  narrow: (field: FieldName, value: string, not: boolean) => void;
  /** The end is in sight: there may be more. */
  more?: () => void;
  order?: Order;
  sort?: (order: Order) => void;
  actions?: (row: T, column: string) => Action[];
}

const useStyles = makeStyles({
  frame: {
    flexGrow: 1,
    minHeight: 0,
    overflow: "auto",
    position: "relative",
    // What comes in above does not move what one looks at; where it stands this grid knows itself.
    overflowAnchor: "none",
    backgroundColor: tokens.colorNeutralBackground1,
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}`, outlineOffset: "-2px" },
  },
  head: {
    position: "sticky",
    top: 0,
    zIndex: 1,
    backgroundColor: tokens.colorNeutralBackground1,
    borderBottom: `1px solid ${tokens.colorNeutralStroke1}`,
    fontWeight: tokens.fontWeightSemibold,
  },
  sorts: { cursor: "pointer", ":hover": { backgroundColor: tokens.colorNeutralBackground1Hover } },
  body: { position: "relative", minWidth: "100%", overflow: "clip", overflowClipMargin: "0px" },
  layer: { position: "absolute", top: 0, left: 0, width: "100%" },
});

interface Asked {
  target: PositioningVirtualElement;
  field: FieldName | undefined;
  label: string;
  value: string;
  text: string;
  actions: Action[];
}

const ROW = 34;
const CARD = 64;
const HEAD = -1;
const MARKS = { ascending: "\u00a0↑", descending: "\u00a0↓", none: "" } as const;

/** The widths of columns add up to the least width of a row. */
const least = (widths: string[]) =>
  `${widths.reduce((sum, width) => sum + Number(/[\d.]+(?=rem)/.exec(width)?.[0] ?? 6), 0)}rem`;

export function Grid<T>(props: GridProps<T>) {
  const { label, columns, lines, card, open, selected, narrow, more, order, sort, actions } = props;
  const styles = useStyles();
  const cells = useRowStyles();
  const isNarrow = useNarrow();
  const id = useId();
  const frame = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState({ line: 0, column: 0 });
  const [focused, setFocused] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const size = isNarrow ? CARD : ROW;
  const { layer, height, show, first, last, base, page } = useScroll(frame, lines.length, size, isNarrow ? 0 : ROW);
  useEffect(() => {
    if (more && lines.length && last >= lines.length - 40) more();
  }, [more, last, lines.length]);

  const template = isNarrow ? "1fr" : columns.map((column) => column.width).join(" ");
  const minWidth = isNarrow ? "0" : least(columns.map((column) => column.width));
  const cellId = useCallback((line: string, column: number) => `${id}-${line}-${column}`, [id]);
  const current = at.line === HEAD ? undefined : lines[Math.min(at.line, lines.length - 1)];
  const hasHeads = !isNarrow && sort !== undefined;
  const column = Math.min(at.column, columns.length - 1);
  const activeId = current ? cellId(current.key, isNarrow ? 0 : column) : cellId("head", column);

  // What rows call is the same function all along: a row is drawn anew for its own sake only.
  const now = useRef({ lines, columns, open, card, actions });
  now.current = { lines, columns, open, card, actions };
  const question = useCallback((index: number, number: number, target: HTMLElement) => {
    const [line, asking] = [now.current.lines[index], now.current.columns[number]];
    if (!line || !asking || line.note !== undefined) return;
    const { row } = line;
    const text = asking.text(row);
    const more = now.current.actions?.(row, asking.id) ?? [];
    setAsked({
      target,
      field: typeof asking.field === "function" ? asking.field(row) : asking.field,
      label: asking.label,
      value: asking.value ? asking.value(row) : text,
      text,
      actions: more,
    });
  }, []);
  const act = useCallback((index: number) => {
    const line = now.current.lines[index];
    setAt((before) => ({ ...before, line: index }));
    if (line?.group) line.group.toggle();
    else if (line && line.note === undefined) now.current.open(line.row);
  }, []);
  const drawCard = useCallback((row: T) => now.current.card(row), []);

  const sortBy = (one: Column<T> | undefined) => {
    if (!one?.sorts || !sort) return;
    sort({ column: one.id, descending: order?.column === one.id ? !order.descending : one.id === "time" });
  };
  const sorted = (one: Column<T>) => {
    if (!one.sorts || !sort) return undefined;
    if (order?.column !== one.id) return "none";
    return order.descending ? "descending" : "ascending";
  };

  const keys = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !lines.length) return;
    const down: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -1e9,
      End: 1e9,
    };
    const step = down[event.key];
    const side = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step !== undefined) {
      const top = hasHeads && event.key === "ArrowUp" ? HEAD : 0;
      const line = Math.max(top, Math.min(lines.length - 1, at.line + step));
      setAt({ ...at, line });
      show(Math.max(0, line));
    } else if (side && !isNarrow) {
      const next = Math.max(0, Math.min(columns.length - 1, column + side));
      setAt({ ...at, column: next });
      document.getElementById(cellId(current?.key ?? "head", next))?.scrollIntoView({
        block: "nearest",
        inline: "nearest",
      });
    } else if ((event.key === "Enter" || event.key === " ") && at.line === HEAD) {
      sortBy(columns[column]);
    } else if ((event.key === "Enter" || event.key === " ") && current) {
      act(Math.min(at.line, lines.length - 1));
    } else if ((event.key === "f" || event.key === "ContextMenu") && current) {
      const cell = document.getElementById(activeId);
      const named = Math.max(
        0,
        columns.findIndex((one) => one.names),
      );
      if (cell) question(Math.min(at.line, lines.length - 1), isNarrow ? named : column, cell);
    } else return;
    event.preventDefault();
  };

  const closed = () => {
    setAsked(null);
    frame.current?.focus({ preventScroll: true });
  };

  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a table element cannot be virtualised */}
      <div
        ref={frame}
        className={styles.frame}
        role="grid"
        aria-label={label}
        aria-rowcount={lines.length + 1}
        aria-colcount={isNarrow ? 1 : columns.length}
        tabIndex={0}
        aria-activedescendant={focused ? activeId : undefined}
        onKeyDown={keys}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
      >
        {!isNarrow && (
          // biome-ignore lint/a11y/useSemanticElements: as above
          // biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus
          <div
            role="row"
            className={mergeClasses(cells.line, styles.head)}
            style={{ gridTemplateColumns: template, height: ROW, minWidth }}
            aria-rowindex={1}
          >
            {columns.map((one, number) => (
              // biome-ignore lint/a11y/useSemanticElements: as above
              // biome-ignore lint/a11y/useFocusableInteractive: as above
              // biome-ignore lint/a11y/useKeyWithClickEvents: the grid has the keys
              <div
                key={one.id}
                id={cellId("head", number)}
                role="columnheader"
                aria-sort={sorted(one)}
                title={visible(one.label)}
                className={mergeClasses(
                  cells.cell,
                  one.numeric && cells.numeric,
                  one.sorts && sort && styles.sorts,
                  focused && at.line === HEAD && number === column && cells.active,
                )}
                onClick={() => sortBy(one)}
              >
                <span className={cells.text}>{visible(one.label)}</span>
                <span aria-hidden>{MARKS[sorted(one) ?? "none"]}</span>
              </div>
            ))}
          </div>
        )}
        {/* biome-ignore lint/a11y/useSemanticElements: as above */}
        <div className={styles.body} style={{ height, minWidth }} role="rowgroup">
          <div ref={layer} className={styles.layer} role="presentation">
            {lines.slice(first, last + 1).map((line, number) => {
              const index = first + number;
              return (
                <Row
                  key={line.key}
                  line={line}
                  index={index}
                  top={(index - base) * size}
                  height={size}
                  template={template}
                  minWidth={minWidth}
                  columns={columns}
                  active={focused && index === at.line ? column : -1}
                  selected={line.key === selected}
                  narrow={isNarrow}
                  id={cellId}
                  card={drawCard}
                  act={act}
                  ask={question}
                />
              );
            })}
          </div>
        </div>
      </div>
      <Menu
        open={asked !== null}
        onOpenChange={(_, { open: isOpen }) => isOpen || closed()}
        positioning={{ target: asked?.target ?? null }}
      >
        <MenuPopover>
          <MenuList aria-label={asked?.label ?? ""}>
            {asked?.field && (
              <>
                <MenuItem
                  icon={<FilterAddRegular />}
                  onClick={() => asked.field && narrow(asked.field, asked.value, false)}
                >
                  Only this
                </MenuItem>
                <MenuItem
                  icon={<FilterDismissRegular />}
                  onClick={() => asked.field && narrow(asked.field, asked.value, true)}
                >
                  Not this
                </MenuItem>
              </>
            )}
            <MenuItem icon={<CopyRegular />} onClick={() => void navigator.clipboard?.writeText(asked?.text ?? "")}>
              Copy
            </MenuItem>
            {asked?.actions.map((action) => (
              <MenuItem key={action.label} icon={action.icon} onClick={action.act}>
                {action.label}
              </MenuItem>
            ))}
          </MenuList>
        </MenuPopover>
      </Menu>
    </>
  );
}
