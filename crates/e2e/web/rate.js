const MEASURE_MS = 3000;

/** How many a second `step` does, which returns how many it did; measured after a warm-up. */
export function rate(step) {
  for (let i = 0; i < 5; i++) step();
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < MEASURE_MS) count += step();
  return (count * 1000) / (performance.now() - start);
}
