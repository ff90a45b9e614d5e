import { Injectable } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { badRequest, GatewayError } from './gateway-error.js';

export interface Route {
  readonly method: 'GET' | 'POST' | 'OPTIONS';
  /** Exact, or a prefix when it ends in `/`. */
  readonly path: string;
  /**
   * @param rest what follows the prefix, percent-decoded; empty on an exact path.
   * @param query what follows `?`, as sent.
   * A thrown GatewayError is answered in OpenAI's shape, anything else as 500.
   */
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    rest: string,
    query: string,
  ): void | Promise<void>;
}

/** Anything but visible ASCII in a request target: a raw UTF-8 unit would otherwise be hashed as Latin-1. */
const NOT_VISIBLE_ASCII = /[^\x21-\x7e]/;

/** The gateway's routes. Providers add theirs when they are constructed. */
@Injectable()
export class Routes {
  private readonly exact = new Map<string, Route[]>();
  private readonly prefixes: Route[] = [];

  add(route: Route): void {
    if (route.path.endsWith('/')) {
      this.prefixes.push(route);
      this.prefixes.sort((a, b) => b.path.length - a.path.length);
      return;
    }
    const routes = this.exact.get(route.path) ?? [];
    routes.push(route);
    this.exact.set(route.path, routes);
  }

  /**
   * Runs the route of a request. HEAD is answered by GET; Node leaves the body out.
   * @throws GatewayError 400 for a target that is not percent-encoded, 404, 405; and whatever the route throws.
   */
  dispatch(request: IncomingMessage, response: ServerResponse): void | Promise<void> {
    // The usual request names a route and nothing else; what is a key of the map is a proper target.
    const usual = this.exact.get(request.url!);
    if (usual)
      for (const route of usual)
        if (route.method === request.method) return route.handle(request, response, '', '');
    const target = originForm(request.url ?? '/');
    if (NOT_VISIBLE_ASCII.test(target))
      throw badRequest(
        'bad_target',
        'The URL holds a character outside ASCII; percent-encode it as UTF-8 (encodeURIComponent).',
      );
    const mark = target.indexOf('?');
    const path = mark === -1 ? target : target.slice(0, mark);
    const query = mark === -1 ? '' : target.slice(mark + 1);
    const method = request.method === 'HEAD' ? 'GET' : request.method;

    const exact = this.exact.get(path);
    if (exact) {
      for (const route of exact)
        if (route.method === method) return route.handle(request, response, '', query);
      throw wrongMethod(request, exact);
    }
    let otherMethods: Route[] | undefined;
    for (const route of this.prefixes) {
      if (!path.startsWith(route.path)) continue;
      if (route.method === method)
        return route.handle(request, response, decodePath(path.slice(route.path.length)), query);
      (otherMethods ??= []).push(route);
    }
    if (otherMethods) throw wrongMethod(request, otherMethods);
    throw new GatewayError(
      404,
      'not_found_error',
      'unknown_route',
      `There is no ${request.method} ${path.slice(0, 200)} here. The gateway answers /v1/chat/completions, /v1/messages, /v1/responses, /v1/completions, /v1/embeddings, /v1/models, /v1/feedback and /v1/resolve/{endpoint}.`,
    );
  }
}

/** RFC 9112 §3.2.2: a server must accept the absolute form too. */
function originForm(target: string): string {
  if (target.startsWith('/')) return target;
  const url = URL.parse(target);
  if (!url) throw badRequest('bad_target', 'The request target is no path; start it with "/".');
  return url.pathname + url.search;
}

function decodePath(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw badRequest(
      'bad_percent_encoding',
      `"${text.slice(0, 200)}" in the path is not percent-encoded UTF-8; use encodeURIComponent.`,
    );
  }
}

function wrongMethod(request: IncomingMessage, routes: readonly Route[]): GatewayError {
  const allowed = [...new Set(routes.map((route) => route.method))];
  return new GatewayError(
    405,
    'invalid_request_error',
    'method_not_allowed',
    `${request.method} is not possible here; use ${allowed.join(' or ')}.`,
    undefined,
    { allow: allowed.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ') },
  );
}
