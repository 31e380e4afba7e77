/**
 * Rows in columns, of which only those in sight are in the document. One stop of the Tab key; arrows move inside,
 * Enter opens a row, `f` asks what to do with a cell.
 */
import {
  Button,
  Menu,
  MenuItem,
  MenuList,
  MenuPopover,
  makeStyles,
  mergeClasses,
  type PositioningVirtualElement,
  tokens,
} from "@fluentui/react-components";
import { CopyRegular, FilterAddRegular, FilterDismissRegular, MoreHorizontalRegular } from "@fluentui/react-icons";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactElement, type ReactNode, useEffect, useId, useRef, useState } from "react";
import type { FieldName } from "../filter/filter";
import { useNarrow } from "../shell/media";
import { Name } from "../states/Name";
import { visible } from "../text";

export interface Column<T> {
  id: string;
  label: string;
  /** A size of CSS grid, such as `minmax(8rem, 2fr)`. */
  width: string;
  text: (row: T) => string;
  /** How it looks, if not as its text. */
  look?: (row: T) => ReactNode;
  /** What "only this" and "not this" speak of; its value, if it is not the text. */
  field?: FieldName;
  value?: (row: T) => string;
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
  /** The row; of a group, its newest. */
  row: T;
  group?: { label: string; open: boolean; toggle: () => void };
  inGroup?: boolean;
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
  /** Its columns need so much room: a size of CSS. */
  minWidth?: string;
  /** A head is a way to put the rows in order. */
  sort?: { column: string; descending: boolean } | null;
  sortBy?: (column: string) => void;
  actions?: (row: T, column: string) => Action[];
}

const useStyles = makeStyles({
  frame: {
    flexGrow: 1,
    minHeight: 0,
    overflow: "auto",
    position: "relative",
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
  line: { display: "grid", alignItems: "center", minWidth: "62rem", width: "100%" },
  body: { position: "relative", minWidth: "100%" },
  card: { minWidth: 0 },
  row: {
    position: "absolute",
    top: 0,
    left: 0,
    boxSizing: "border-box",
    borderBottom: `1px solid ${tokens.colorNeutralStroke3}`,
    cursor: "pointer",
    ":hover": { backgroundColor: tokens.colorNeutralBackground1Hover },
  },
  selected: { backgroundColor: tokens.colorNeutralBackground1Selected },
  cell: {
    position: "relative",
    padding: `0 ${tokens.spacingHorizontalM}`,
    overflow: "hidden",
    textOverflow: "ellipsis",
    whiteSpace: "nowrap",
    alignSelf: "stretch",
    display: "flex",
    alignItems: "center",
    "& > .what": { opacity: 0 },
    ":hover > .what": { opacity: 1 },
  },
  active: {
    outline: `2px solid ${tokens.colorStrokeFocus2}`,
    outlineOffset: "-2px",
    "& > .what": { opacity: 1 },
  },
  text: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", minWidth: 0 },
  numeric: { justifyContent: "flex-end" },
  sortable: { cursor: "pointer", ":hover": { backgroundColor: tokens.colorNeutralBackground1Hover } },
  what: { position: "absolute", right: 0, minWidth: 0, backgroundColor: tokens.colorNeutralBackground1 },
  inGroup: { paddingLeft: tokens.spacingHorizontalXXL },
  group: { fontWeight: tokens.fontWeightSemibold },
});

interface Asked {
  target: PositioningVirtualElement;
  field: FieldName | undefined;
  label: string;
  value: string;
  actions: Action[];
}

function sorting(sort: GridProps<unknown>["sort"], column: string): "ascending" | "descending" | "none" {
  if (sort?.column !== column) return "none";
  return sort.descending ? "descending" : "ascending";
}

const ROW = 34;
const CARD = 64;

export function Grid<T>(props: GridProps<T>) {
  const { label, columns, lines, card, open, selected, narrow, more, minWidth, sort, sortBy, actions } = props;
  const styles = useStyles();
  const isNarrow = useNarrow();
  const id = useId();
  const frame = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState({ line: 0, column: 0 });
  const [focused, setFocused] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const size = isNarrow ? CARD : ROW;
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => frame.current,
    estimateSize: () => size,
    overscan: 12,
    getItemKey: (index) => lines[index]?.key ?? index,
    initialRect: { width: 1000, height: 600 },
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another size is why it measures
  useEffect(() => virtual.measure(), [virtual, size]);
  const shown = virtual.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (more && lines.length && last >= lines.length - 20) more();
  }, [more, last, lines.length]);

  const template = isNarrow ? "1fr" : columns.map((column) => column.width).join(" ");
  const cellId = (line: string, column: number) => `${id}-${line}-${column}`;
  const current = lines[Math.min(at.line, lines.length - 1)];

  const question = (line: Line<T>, number: number, target: HTMLElement): Asked | null => {
    const column = columns[number];
    if (!column) return null;
    const value = column.value ? column.value(line.row) : column.text(line.row);
    return {
      target,
      field: column.field,
      label: column.label,
      value,
      actions: actions?.(line.row, column.id) ?? [],
    };
  };

  const keys = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !lines.length) return;
    const page = Math.max(1, Math.floor((frame.current?.clientHeight ?? 0) / size) - 2);
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
      const line = Math.max(0, Math.min(lines.length - 1, at.line + step));
      setAt({ ...at, line });
      virtual.scrollToIndex(line);
    } else if (side && !isNarrow) {
      const column = Math.max(0, Math.min(columns.length - 1, at.column + side));
      setAt({ ...at, column });
      if (current)
        document.getElementById(cellId(current.key, column))?.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else if ((event.key === "Enter" || event.key === " ") && current) {
      if (current.group) current.group.toggle();
      else open(current.row);
    } else if ((event.key === "f" || event.key === "ContextMenu") && current) {
      const cell = document.getElementById(cellId(current.key, isNarrow ? 0 : at.column));
      if (cell) setAsked(question(current, at.column, cell));
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
        aria-activedescendant={focused && current ? cellId(current.key, isNarrow ? 0 : at.column) : undefined}
        onKeyDown={keys}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
      >
        {!isNarrow && (
          // biome-ignore lint/a11y/useSemanticElements: as above
          // biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus
          <div
            role="row"
            className={mergeClasses(styles.line, styles.head)}
            style={{ gridTemplateColumns: template, height: ROW, ...(minWidth ? { minWidth } : {}) }}
            aria-rowindex={1}
          >
            {columns.map((column) => (
              // biome-ignore lint/a11y/useSemanticElements: as above
              // biome-ignore lint/a11y/useFocusableInteractive: as above
              <div
                key={column.id}
                role="columnheader"
                title={visible(column.label)}
                {...(sortBy ? { "aria-sort": sorting(sort, column.id), onClick: () => sortBy(column.id) } : {})}
                className={mergeClasses(styles.cell, column.numeric && styles.numeric, sortBy && styles.sortable)}
              >
                <span className={styles.text}>{visible(column.label)}</span>
                {sort?.column === column.id && <span aria-hidden>{sort.descending ? " ↓" : " ↑"}</span>}
              </div>
            ))}
          </div>
        )}
        {/* biome-ignore lint/a11y/useSemanticElements: as above */}
        <div className={styles.body} style={{ height: virtual.getTotalSize() }} role="rowgroup">
          {shown.map((place) => {
            const line = lines[place.index];
            if (!line) return null;
            const isHere = focused && place.index === at.line;
            const act = () => {
              setAt({ ...at, line: place.index });
              if (line.group) line.group.toggle();
              else open(line.row);
            };
            const style = {
              gridTemplateColumns: template,
              height: size,
              transform: `translateY(${place.start}px)`,
              ...(minWidth && !isNarrow ? { minWidth } : {}),
            };
            return (
              // biome-ignore lint/a11y/useSemanticElements: as above
              // biome-ignore lint/a11y/useFocusableInteractive: as above
              // biome-ignore lint/a11y/useKeyWithClickEvents: the grid has the keys
              <div
                key={line.key}
                role="row"
                aria-rowindex={place.index + 2}
                aria-selected={line.key === selected}
                aria-expanded={line.group?.open}
                className={mergeClasses(
                  styles.line,
                  styles.row,
                  isNarrow && styles.card,
                  line.key === selected && styles.selected,
                )}
                style={style}
                onClick={act}
              >
                {line.group || isNarrow ? (
                  // biome-ignore lint/a11y/useSemanticElements: as above
                  // biome-ignore lint/a11y/useFocusableInteractive: as above
                  <div
                    role="gridcell"
                    id={cellId(line.key, 0)}
                    style={{ gridColumn: "1 / -1" }}
                    className={mergeClasses(
                      styles.cell,
                      line.inGroup && styles.inGroup,
                      line.group && styles.group,
                      isHere && styles.active,
                    )}
                  >
                    {line.group ? `${line.group.open ? "▾" : "▸"} ${visible(line.group.label)}` : card(line.row)}
                  </div>
                ) : (
                  columns.map((column, index) => {
                    const text = visible(column.text(line.row));
                    return (
                      // biome-ignore lint/a11y/useSemanticElements: as above
                      // biome-ignore lint/a11y/useFocusableInteractive: as above
                      <div
                        key={column.id}
                        id={cellId(line.key, index)}
                        role="gridcell"
                        title={text}
                        className={mergeClasses(
                          styles.cell,
                          column.numeric && styles.numeric,
                          index === 0 && line.inGroup && styles.inGroup,
                          isHere && index === at.column && styles.active,
                        )}
                        onContextMenu={(event) => {
                          event.preventDefault();
                          setAsked(question(line, index, event.currentTarget));
                        }}
                      >
                        <span className={styles.text}>
                          {column.look ? column.look(line.row) : <Name text={column.text(line.row)} />}
                        </span>
                        {column.field && (
                          <Button
                            className={mergeClasses("what", styles.what)}
                            size="small"
                            appearance="subtle"
                            tabIndex={-1}
                            icon={<MoreHorizontalRegular />}
                            // Not of the cell's text; the key `f` does the same.
                            aria-hidden
                            title="Only this, not this"
                            onClick={(event) => {
                              event.stopPropagation();
                              setAsked(question(line, index, event.currentTarget));
                            }}
                          />
                        )}
                      </div>
                    );
                  })
                )}
              </div>
            );
          })}
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
            <MenuItem icon={<CopyRegular />} onClick={() => void navigator.clipboard?.writeText(asked?.value ?? "")}>
              Copy
            </MenuItem>
            {asked?.actions.map(({ label: name, icon, act }) => (
              <MenuItem key={name} icon={icon} onClick={act}>
                {name}
              </MenuItem>
            ))}
          </MenuList>
        </MenuPopover>
      </Menu>
    </>
  );
}
