import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { ExternalStore } from '../artifacts/external-store.js';
import type { SourceArtifacts, SourceFile } from './mlflow-source.js';
import { RestSource } from './rest-source.js';

/** Artifacts through the proxy of an MLflow server, in a local directory, or in S3 with this registry's credentials. */
export class UriArtifacts implements SourceArtifacts {
  /**
   * @param proxy the server behind `mlflow-artifacts:` URIs.
   * @param root a local directory in its place.
   */
  constructor(
    private readonly external: ExternalStore,
    private readonly proxy: RestSource | undefined,
    private readonly root: string | undefined,
  ) {}

  async *list(uri: string): AsyncGenerator<SourceFile> {
    const place = this.locate(uri);
    for await (const file of place.list('')) yield file;
  }

  async open(uri: string, path: string): Promise<Readable> {
    return this.locate(uri).open(path);
  }

  private locate(uri: string): Place {
    const proxied = /^mlflow-artifacts:(?:\/\/[^/]*)?\/*(.*)$/.exec(uri)?.[1];
    if (proxied !== undefined) {
      if (this.root !== undefined) return new LocalPlace(join(this.root, proxied));
      if (this.proxy) return new ProxyPlace(this.proxy, proxied);
      throw new Error(`${uri} lies behind a server; name it, or its directory, with --artifacts-from.`);
    }
    if (uri.startsWith('file:'))
      return new LocalPlace(fileURLToPath(uri.replace(/^file:(?!\/\/)/, 'file://')));
    if (uri.startsWith('s3:')) return new StorePlace(this.external, uri);
    if (/^[a-z][a-z0-9+.-]+:/i.test(uri)) throw new Error(`Artifacts at ${uri} cannot be read from here.`);
    return new LocalPlace(uri);
  }
}

interface Place {
  list(path: string): AsyncGenerator<SourceFile>;
  open(path: string): Promise<Readable>;
}

class LocalPlace implements Place {
  constructor(private readonly directory: string) {}

  async *list(path: string): AsyncGenerator<SourceFile> {
    const entries = await readdir(join(this.directory, path), { withFileTypes: true }).catch(
      (error: unknown) => {
        // Nothing was ever logged there.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
        throw error;
      },
    );
    for (const entry of entries) {
      const below = path === '' ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory()) yield* this.list(below);
      else if (entry.isFile())
        yield { path: below, sizeBytes: (await stat(join(this.directory, below))).size };
    }
  }

  async open(path: string): Promise<Readable> {
    return createReadStream(join(this.directory, path));
  }
}

class StorePlace implements Place {
  constructor(
    private readonly store: ExternalStore,
    private readonly uri: string,
  ) {}

  async *list(path: string): AsyncGenerator<SourceFile> {
    for (const entry of await this.store.list(this.at(path))) {
      const below = path === '' ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory) yield* this.list(below);
      else yield { path: below, sizeBytes: entry.sizeBytes ?? 0 };
    }
  }

  async open(path: string): Promise<Readable> {
    return (await this.store.open(this.at(path))).body;
  }

  private at(path: string): string {
    return path === '' ? this.uri : `${this.uri.replace(/\/+$/, '')}/${path}`;
  }
}

const PROXY = '/api/2.0/mlflow-artifacts/artifacts';

class ProxyPlace implements Place {
  constructor(
    private readonly server: RestSource,
    private readonly root: string,
  ) {}

  async *list(path: string): AsyncGenerator<SourceFile> {
    const { statusCode, body } = await this.server.get(
      `${PROXY}?${new URLSearchParams({ path: this.at(path) })}`,
    );
    const text = await body.text();
    if (statusCode === 404) return;
    if (statusCode !== 200)
      throw new Error(`listing ${this.at(path)} was answered ${statusCode}: ${text.slice(0, 200)}`);
    const { files = [] } = JSON.parse(text) as {
      files?: { path: string; is_dir?: boolean; file_size?: number | string }[];
    };
    for (const file of files) {
      const below = path === '' ? file.path : `${path}/${file.path}`;
      if (file.is_dir) yield* this.list(below);
      else yield { path: below, sizeBytes: Number(file.file_size ?? 0) };
    }
  }

  async open(path: string): Promise<Readable> {
    const encoded = this.at(path).split('/').map(encodeURIComponent).join('/');
    const { statusCode, body } = await this.server.get(`${PROXY}/${encoded}`);
    if (statusCode === 200) return body;
    throw new Error(
      `reading ${this.at(path)} was answered ${statusCode}: ${(await body.text()).slice(0, 200)}`,
    );
  }

  private at(path: string): string {
    return path === '' ? this.root : `${this.root}/${path}`;
  }
}
