/** A database URL as a person may see it: no password, neither before the host nor among the parameters. */
export function shownUrl(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) return 'as DATABASE_URL says';
  if (parsed.password !== '') parsed.password = '***';
  parsed.search = '';
  return parsed.href;
}
