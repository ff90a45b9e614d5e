/**
 * Routes by path. Segments are literal, `{name}` (one segment) or, last, `{name+}` (all that is left, slashes too).
 * A literal wins over a name. Looking up costs one step per segment, however many routes there are.
 */
export class RouteTree<T> {
  private readonly root: Node<T> = { literals: new Map(), methods: new Map() };

  /** @throws Error when the path has this method already. */
  add(method: string, path: string, target: T): void {
    let node = this.root;
    const names: string[] = [];
    for (const segment of segmentsOf(path)) {
      const name = /^\{(\w+)(\+?)\}$/.exec(segment);
      if (name === null) {
        const next = node.literals.get(segment) ?? { literals: new Map(), methods: new Map() };
        node.literals.set(segment, next);
        node = next;
      } else {
        names.push(name[1]!);
        node =
          name[2] === '+'
            ? (node.rest ??= { literals: new Map(), methods: new Map() })
            : (node.named ??= { literals: new Map(), methods: new Map() });
      }
    }
    if (node.methods.has(method)) throw new Error(`${method} ${path} is routed twice.`);
    node.methods.set(method, { target, names });
  }

  /**
   * @returns the match; or the methods that the path has, where this is none of them (empty: no such path).
   * Parameters are as they stand in the path, still percent-encoded.
   */
  find(method: string, path: string): Match<T> | readonly string[] {
    const values: string[] = [];
    const node = descend(this.root, segmentsOf(path), 0, values);
    if (node === undefined) return [];
    const found = node.methods.get(method) ?? (method === 'HEAD' ? node.methods.get('GET') : undefined);
    if (found === undefined) return [...node.methods.keys()].sort();
    const params: Record<string, string> = {};
    found.names.forEach((name, index) => (params[name] = values[index]!));
    return { target: found.target, params };
  }
}

export interface Match<T> {
  readonly target: T;
  readonly params: Readonly<Record<string, string>>;
}

interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  named?: Node<T>;
  rest?: Node<T>;
  readonly methods: Map<string, { readonly target: T; readonly names: readonly string[] }>;
}

function segmentsOf(path: string): string[] {
  return path.slice(1).split('/');
}

function descend<T>(
  node: Node<T>,
  segments: readonly string[],
  at: number,
  values: string[],
): Node<T> | undefined {
  if (at === segments.length) return node.methods.size > 0 ? node : undefined;
  const segment = segments[at]!;
  const literal = node.literals.get(segment);
  const found = literal && descend(literal, segments, at + 1, values);
  if (found) return found;
  const depth = values.length;
  if (node.named && segment !== '') {
    values.push(segment);
    const inside = descend(node.named, segments, at + 1, values);
    if (inside) return inside;
    values.length = depth;
  }
  if (node.rest === undefined) return undefined;
  values.push(segments.slice(at).join('/'));
  return node.rest;
}
