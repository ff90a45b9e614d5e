const BEGIN = '<!-- matrix -->';
const END = '<!-- end of matrix -->';

/** The page with this table in the place of the one it has. */
export function withMatrix(page: string, table: string): string {
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END);
  if (from < 0 || to < from) throw new Error(`The page has no ${BEGIN} … ${END}.`);
  return `${page.slice(0, from + BEGIN.length)}\n\n${table}\n\n${page.slice(to)}`;
}

/** The table of a page. */
export function matrixOf(page: string): string {
  const from = page.indexOf(BEGIN) + BEGIN.length;
  return page.slice(from, page.indexOf(END)).trim();
}
