/** A span as totals see it: what it tells of itself, if anything. */
export interface TreeNode {
  readonly id: string;
  readonly parentId: string | null;
  readonly figures: Readonly<Record<string, number>> | undefined;
}

/**
 * Sums the figures over a tree of spans. A span that tells figures speaks for everything below it, because some
 * libraries repeat on parents what their children used. Iterative: traces nest deeper than the stack.
 * @returns undefined where no span tells any.
 */
export function treeTotals(nodes: readonly TreeNode[]): Record<string, number> | undefined {
  const ids = new Set(nodes.map((node) => node.id));
  const children = Map.groupBy(nodes, (node) =>
    node.parentId !== null && ids.has(node.parentId) && node.parentId !== node.id ? node.parentId : null,
  );
  const totals: Record<string, number> = {};
  const waiting = [...(children.get(null) ?? [])];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (node.figures === undefined) {
      for (const child of children.get(node.id) ?? []) waiting.push(child);
      continue;
    }
    for (const [key, figure] of Object.entries(node.figures)) totals[key] = (totals[key] ?? 0) + figure;
  }
  return Object.keys(totals).length === 0 ? undefined : totals;
}
