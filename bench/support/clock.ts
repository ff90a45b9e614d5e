/** Microseconds of a clock that all processes of the machine share and that nobody sets. */
export function monotonicUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + Math.round(nanoseconds / 1000);
}
