/** Items one by one: of the machines that the filter names, or with what only an item on its machine has. */
import { Button } from "@fluentui/react-components";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useFilter } from "../filter/useFilter";
import { Card } from "../grid/Card";
import { ColumnChooser, useColumns } from "../grid/Columns";
import { Grid, type Order } from "../grid/Grid";
import { orderOf, orderText } from "../grid/order";
import { numberText, whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Name } from "../states/Name";
import { visibleLines } from "../text";
import { changesOf, type ListProps } from "./Groups";
import { nextAfter, type Place, page } from "./items";
import { cellText, itemColumns, rowKey } from "./kinds";
import { List } from "./List";

const BY_NAME: Order = { column: "Item", descending: false };
const INNER = new Set(["Sort", "Item", "Key"]);

export function Items({ kind, label, at, filter, query, place }: ListProps) {
  const { narrow } = useFilter();
  const all = useMemo(() => itemColumns(kind), [kind]);
  const columns = useColumns(`inventory.${kind}`, all);
  const sorting = query.get("sort");
  const order = useMemo(() => orderOf(sorting, all) ?? BY_NAME, [sorting, all]);
  const selected = query.get("item") ?? undefined;
  const conditions = JSON.stringify([filter.text, filter.conditions]);
  const pages = useInfiniteQuery({
    queryKey: ["inventory", kind, at, conditions, order],
    queryFn: ({ pageParam, signal }) => page(kind, at, filter, order, pageParam, signal),
    initialPageParam: null as Place | null,
    getNextPageParam: nextAfter,
    placeholderData: keepPreviousData,
  });
  const rows = useMemo(() => pages.data?.pages.flatMap((one) => one.rows) ?? [], [pages.data]);
  const lines = useMemo(() => rows.map((row) => ({ key: rowKey(row), row })), [rows]);
  const chosen = rows.find((row) => rowKey(row) === selected);
  const more = pages.hasNextPage && !pages.isFetchingNextPage ? () => void pages.fetchNextPage() : undefined;

  return (
    <List
      kind={kind}
      at={at}
      filter={filter}
      pages={pages}
      looking="Looking what is there"
      empty={!rows.length}
      counted={pages.isSuccess ? `${numberText(rows.length)} items${pages.hasNextPage ? ", more below" : ""}` : ""}
      chooser={<ColumnChooser list={`inventory.${kind}`} all={all} shown={columns} />}
      beside={
        chosen && (
          <Drawer of="Item" title={<Name text={String(chosen["Item"])} />} close={() => place({ item: null })}>
            <div>
              <Button onClick={() => changesOf(filter, String(chosen["Item"]))}>Changes of this item</Button>{" "}
              <Button onClick={() => narrow("item", String(chosen["Item"]), false)}>Only this item</Button>
            </div>
            <Facts
              facts={Object.entries(chosen)
                .filter(([name]) => !INNER.has(name))
                .map(([name, value]) => [name, visibleLines(cellText(name, value))])}
            />
          </Drawer>
        )
      }
    >
      <Grid
        label={label}
        columns={columns}
        lines={lines}
        narrow={narrow}
        selected={selected}
        open={(row) => place({ item: rowKey(row) })}
        order={order}
        sort={(next) => place({ sort: orderText(next, BY_NAME), item: null })}
        {...(more ? { more } : {})}
        card={(row) => (
          <Card
            name={String(row["Item"])}
            facts={[row["CurrentVersion"], row["Computer"], whenText(row["TimeGenerated"]), row["Publisher"]].map(
              (fact) => String(fact ?? ""),
            )}
          />
        )}
      />
    </List>
  );
}
