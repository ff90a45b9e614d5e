import type { Request, Response } from 'express';
import { DomainError } from '#libs/core/errors/catalogue.js';

/** The parts of Express 5's router that tell which methods a path has; its types leave `methods` and `match` out. */
interface Layer {
  readonly route?: { readonly methods: Readonly<Record<string, boolean>> };
  match(path: string): boolean;
}

/**
 * What to answer where no route took a request: 405 with `Allow` where the path has other methods, else 404.
 * OPTIONS is no exception: the registry is not called by browsers of other origins.
 */
export function unrouted(request: Request, response: Response): DomainError {
  const { method, path } = request;
  const allowed = allowedMethods(request.app.router.stack as unknown as readonly Layer[], path).join(', ');
  if (allowed === '')
    return new DomainError(
      'NOT_FOUND',
      `There is no ${method} ${path.slice(0, 256)}; the operations are listed at /docs.`,
    );
  response.setHeader('allow', allowed);
  return new DomainError('METHOD_NOT_ALLOWED', `${method} is not possible here; use one of ${allowed}.`);
}

function allowedMethods(stack: readonly Layer[], path: string): string[] {
  const methods = stack
    .filter((layer) => layer.route !== undefined && layer.match(path))
    .flatMap((layer) => Object.keys(layer.route!.methods).map((method) => method.toUpperCase()));
  return [...new Set([...methods, ...(methods.includes('GET') ? ['HEAD'] : [])])].sort();
}
