/** Series that stand one upon the other. */

/**
 * Return the series, each with the same places on the axis: what a chart puts one upon the other it takes by its place
 * in the list, wherever on the axis it is. Where a series has nothing it has 0.
 */
export function stackedUp<T extends string | number | boolean | null>(
  series: Map<string, [T, number][]>,
): Map<string, [T, number][]> {
  const places = [...new Set([...series.values()].flatMap((points) => points.map(([place]) => place)))].sort(
    (one, other) => (one === other ? 0 : (one ?? "") < (other ?? "") ? -1 : 1),
  );
  return new Map(
    [...series].map(([name, points]) => {
      const known = new Map(points);
      return [name, places.map((place) => [place, known.get(place) ?? 0])];
    }),
  );
}
