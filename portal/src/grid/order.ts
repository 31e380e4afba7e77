/** The order of a list, as it stands in the address: the column's name, with a minus where it descends. */
import type { Column, Order } from "./Grid";

export function orderOf<T>(text: string | null, columns: Column<T>[]): Order | null {
  const descending = text?.startsWith("-") ?? false;
  const column = text?.slice(descending ? 1 : 0);
  return columns.some((one) => one.sorts && one.id === column) ? { column: column ?? "", descending } : null;
}

/** Return how an order stands in the address; null: it is the usual one. */
export function orderText(order: Order, usual: Order): string | null {
  if (order.column === usual.column && order.descending === usual.descending) return null;
  return `${order.descending ? "-" : ""}${order.column}`;
}
