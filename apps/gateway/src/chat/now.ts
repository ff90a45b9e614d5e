/** Seconds since 1970. */
export function nowS(): number {
  return Math.floor(Date.now() / 1000);
}
