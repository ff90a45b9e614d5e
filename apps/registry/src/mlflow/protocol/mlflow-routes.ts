import { Injectable } from '@nestjs/common';
import type { Request, Response } from 'express';
import { readerOf, type Fields, type RequestOf } from './fields.js';
import type { MlflowCaller } from './mlflow-caller.js';
import { RouteTree, type Match } from './route-tree.js';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** One RPC of the protocol. */
export interface RpcRoute<F extends Fields> {
  readonly method: Method | readonly Method[];
  /**
   * Below `/api/<version>.0/mlflow`, and below `/ajax-api/…` too; for instance `/runs/create` or
   * `/logged-models/{model_id}`. Names in braces are fields of the request.
   */
  readonly path: string;
  readonly version: 2 | 3;
  readonly fields: F;
  /** Status of success; 200 unless given. 204 has no body. */
  readonly status?: number;
  /** Answers for whatever workspace a client names, before it can know which there are. */
  readonly anyWorkspace?: boolean;
  /** Largest body where it differs from the setting. */
  readonly maxBodyBytes?: number;
  /** Answers the response message in snake_case (see `writeJson`); nothing = `{}`. */
  handle(
    caller: MlflowCaller,
    request: RequestOf<F>,
    exchange: Exchange,
  ): Promise<object | void> | object | void;
}

/** A route that reads and answers bytes itself. */
export interface RawRoute {
  readonly method: Method | readonly Method[];
  /** The whole path, for instance `/v1/traces`; `{path+}` takes all that is left. */
  readonly path: string;
  readonly anyWorkspace?: boolean;
  /** What it throws before it has answered is answered as MLflow's JSON. */
  handle(caller: MlflowCaller, exchange: Exchange): Promise<void> | void;
}

export interface Exchange {
  readonly request: Request;
  readonly response: Response;
  /** Names in the path, as they stand there: percent-encoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
}

export type Route =
  | {
      readonly kind: 'rpc';
      readonly read: (object: Record<string, unknown>) => unknown;
      readonly repeated: ReadonlySet<string>;
      readonly rpc: RpcRoute<Fields>;
    }
  | { readonly kind: 'raw'; readonly raw: RawRoute };

/**
 * The one table of MLflow's protocol. Modules that translate a part of it register their routes here as they start
 * (`onModuleInit`); `MlflowProtocol` serves them. See README.md beside this file.
 */
@Injectable()
export class MlflowRoutes {
  private readonly tree = new RouteTree<Route>();

  add<F extends Fields>(route: RpcRoute<F>): void {
    const target: Route = {
      kind: 'rpc',
      read: readerOf(route.fields),
      repeated: new Set(Object.keys(route.fields).filter((name) => route.fields[name]!.repeated)),
      rpc: route as unknown as RpcRoute<Fields>,
    };
    for (const prefix of ['api', 'ajax-api'])
      for (const method of [route.method].flat())
        this.tree.add(method, `/${prefix}/${route.version}.0/mlflow${route.path}`, target);
  }

  addRaw(route: RawRoute): void {
    for (const method of [route.method].flat())
      this.tree.add(method, route.path, { kind: 'raw', raw: route });
  }

  find(method: string, path: string): Match<Route> | readonly string[] {
    return this.tree.find(method, path);
  }
}
