/** Scrolls a list of any length: which lines are in sight, and where they stand. */
import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { type Geometry, goTo, isMapped, moved, type Scrolled, showing, tall } from "./scroll";

/** Lines beside those in sight. */
const BESIDE = 12;
/** Lines are placed from a line before them: transforms have no digits for tens of millions of pixels. */
const STRIDE = 1000;

interface Sight {
  first: number;
  last: number;
  /** Of the line from which the others are placed; a multiple of STRIDE. */
  base: number;
}

const WHEEL_LINE = 1;
const WHEEL_PAGE = 2;

/** `size`: of a line, in pixels; `head`: of what stands above the lines and does not scroll. */
export function useScroll(frame: RefObject<HTMLDivElement | null>, count: number, size: number, head: number) {
  const layer = useRef<HTMLDivElement>(null);
  const at = useRef<Scrolled>({ top: 0, bar: 0 });
  const [view, setView] = useState(600);
  const [sight, setSight] = useState<Sight>({ first: 0, last: 30, base: 0 });
  const geometry: Geometry = { whole: count * size, view };
  const known = useRef(geometry);
  known.current = geometry;

  /** Bring the document to where the list is. */
  const settle = useCallback(
    (next: Scrolled) => {
      at.current = next;
      if (frame.current && Math.abs(frame.current.scrollTop - next.bar) >= 1) frame.current.scrollTop = next.bar;
      const first = Math.max(0, Math.floor(next.top / size) - BESIDE);
      const last = Math.ceil((next.top + known.current.view) / size) + BESIDE;
      const base = Math.floor(first / STRIDE) * STRIDE;
      if (layer.current) layer.current.style.transform = `translateY(${base * size - next.top + next.bar}px)`;
      setSight((now) => (now.first === first && now.last === last && now.base === base ? now : { first, last, base }));
    },
    [frame, size],
  );

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const measure = () => setView(Math.max(size, element.clientHeight - head));
    const scrolled = () => settle(moved(at.current, element.scrollTop, known.current));
    const wheeled = (event: WheelEvent) => {
      if (!isMapped(known.current) || event.ctrlKey || event.shiftKey || !event.deltaY) return;
      event.preventDefault();
      const unit = event.deltaMode === WHEEL_LINE ? size : event.deltaMode === WHEEL_PAGE ? known.current.view : 1;
      settle(goTo(at.current.top + event.deltaY * unit, known.current));
    };
    // Where finger or bar have come to rest, the bar says again which part of the list it is.
    const rested = () => isMapped(known.current) && settle(goTo(at.current.top, known.current));
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(element);
    element.addEventListener("scroll", scrolled, { passive: true });
    element.addEventListener("scrollend", rested, { passive: true });
    element.addEventListener("wheel", wheeled, { passive: false });
    return () => {
      watch.disconnect();
      element.removeEventListener("scroll", scrolled);
      element.removeEventListener("scrollend", rested);
      element.removeEventListener("wheel", wheeled);
    };
  }, [frame, settle, size, head]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another length is another place of the bar
  useLayoutEffect(() => settle(goTo(at.current.top, known.current)), [settle, count, view]);

  const show = useCallback(
    (line: number) => settle(showing(at.current, line * size, (line + 1) * size, known.current)),
    [settle, size],
  );
  return {
    layer,
    height: tall(geometry),
    show,
    first: sight.first,
    last: Math.min(sight.last, count - 1),
    base: sight.base,
    page: Math.max(1, Math.floor(view / size) - 1),
  };
}
