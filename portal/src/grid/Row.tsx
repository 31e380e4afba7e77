/** One line of a grid. Drawn anew only when something of it is another: scrolling draws what comes into sight. */
import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { memo, type ReactNode } from "react";
import { Name } from "../states/Name";
import { visible } from "../text";
import type { Column, Line } from "./Grid";

export const useRowStyles = makeStyles({
  line: { display: "grid", alignItems: "center", width: "100%" },
  row: {
    position: "absolute",
    top: 0,
    left: 0,
    boxSizing: "border-box",
    borderBottom: `1px solid ${tokens.colorNeutralStroke3}`,
    cursor: "pointer",
    ":hover": { backgroundColor: tokens.colorNeutralBackground1Hover },
  },
  note: {
    cursor: "default",
    color: tokens.colorStatusWarningForeground1,
    backgroundColor: tokens.colorStatusWarningBackground1,
    ":hover": { backgroundColor: tokens.colorStatusWarningBackground1 },
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
  // Not Fluent's button: a hundred of them come into sight with every page.
  what: {
    position: "absolute",
    right: 0,
    top: 0,
    bottom: 0,
    width: "2rem",
    border: "none",
    cursor: "pointer",
    color: tokens.colorNeutralForeground2,
    backgroundColor: tokens.colorNeutralBackground1,
    // No text: it is nothing of the cell's.
    "::before": { content: '"⋯"' },
  },
  inGroup: { paddingLeft: tokens.spacingHorizontalXXL },
  group: { fontWeight: tokens.fontWeightSemibold },
});

/** Most text: nothing of it can look like something else. */
const PLAIN = /^(?:[!-~]+(?: [!-~]+)*)?$/;

interface RowProps<T> {
  line: Line<T>;
  index: number;
  top: number;
  height: number;
  template: string;
  minWidth: string;
  columns: Column<T>[];
  /** The column of the cell that the keys speak of; none: -1. */
  active: number;
  selected: boolean;
  narrow: boolean;
  id: (line: string, column: number) => string;
  card: (row: T) => ReactNode;
  act: (index: number) => void;
  ask: (index: number, column: number, cell: HTMLElement) => void;
}

function OneRow<T>(props: RowProps<T>) {
  const { line, index, columns, active, selected, narrow, id, card, act, ask } = props;
  const styles = useRowStyles();
  const whole = line.group || line.note !== undefined || narrow;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a table element cannot be virtualised
    // biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus
    // biome-ignore lint/a11y/useKeyWithClickEvents: the grid has the keys
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected}
      aria-expanded={line.group?.open}
      className={mergeClasses(
        styles.line,
        styles.row,
        selected && styles.selected,
        line.note !== undefined && styles.note,
      )}
      style={{
        gridTemplateColumns: props.template,
        minWidth: props.minWidth,
        height: props.height,
        transform: `translateY(${props.top}px)`,
      }}
      onClick={() => act(index)}
    >
      {whole ? (
        // biome-ignore lint/a11y/useSemanticElements: as above
        // biome-ignore lint/a11y/useFocusableInteractive: as above
        <div
          role="gridcell"
          id={id(line.key, 0)}
          style={{ gridColumn: "1 / -1" }}
          title={line.note}
          className={mergeClasses(
            styles.cell,
            line.inGroup && styles.inGroup,
            line.group && styles.group,
            active >= 0 && styles.active,
          )}
        >
          {line.note !== undefined ? (
            <span className={styles.text}>{visible(line.note)}</span>
          ) : line.group ? (
            <span className={styles.text}>{`${line.group.open ? "▾" : "▸"} ${visible(line.group.label)}`}</span>
          ) : (
            card(line.row)
          )}
        </div>
      ) : (
        columns.map((column, number) => {
          const text = visible(column.text(line.row));
          return (
            // biome-ignore lint/a11y/useSemanticElements: as above
            // biome-ignore lint/a11y/useFocusableInteractive: as above
            <div
              key={column.id}
              id={id(line.key, number)}
              role="gridcell"
              title={text}
              className={mergeClasses(
                styles.cell,
                column.numeric && styles.numeric,
                number === 0 && line.inGroup && styles.inGroup,
                number === active && styles.active,
              )}
              onContextMenu={(event) => {
                event.preventDefault();
                ask(index, number, event.currentTarget);
              }}
            >
              <span className={styles.text}>
                {column.look ? column.look(line.row) : PLAIN.test(text) ? text : <Name text={column.text(line.row)} />}
              </span>
              {column.field && (
                <button
                  type="button"
                  className={mergeClasses("what", styles.what)}
                  tabIndex={-1}
                  // Not of the cell's text; the key `f` does the same.
                  aria-hidden
                  title="Only this, not this"
                  onClick={(event) => {
                    event.stopPropagation();
                    ask(index, number, event.currentTarget);
                  }}
                />
              )}
            </div>
          );
        })
      )}
    </div>
  );
}

function same<T>(one: RowProps<T>, other: RowProps<T>): boolean {
  const [a, b] = [one.line, other.line];
  if (a.row !== b.row || a.group !== b.group || a.inGroup !== b.inGroup || a.note !== b.note) return false;
  return (Object.keys(other) as (keyof RowProps<T>)[]).every((name) => name === "line" || one[name] === other[name]);
}

export const Row = memo(OneRow, same) as typeof OneRow;
