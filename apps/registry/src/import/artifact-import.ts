import { createHash } from 'node:crypto';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { request } from 'undici';
import type { ArtifactDto } from '../artifacts/artifact.dto.js';
import type { SourceArtifacts, SourceFile } from './mlflow-source.js';

export interface ArtifactTotals {
  files: number;
  bytes: number;
}

/** Brings files through this registry's own API: streamed, digested on both sides, one at a time. */
export class ArtifactImport {
  /** @param registry base URL of the registry's API. */
  constructor(
    private readonly registry: string,
    private readonly artifacts: SourceArtifacts,
  ) {}

  /**
   * What is here with the same size is taken to be the same: it was digested when it was brought.
   * @param owner path of the owner below the API, for instance `runs/<id>`.
   * @throws Error that names the first file that is not the same afterwards.
   */
  async bring(uri: string, owner: string, totals: ArtifactTotals): Promise<void> {
    if (uri === '') return;
    const here = await this.listHere(owner);
    for await (const file of this.artifacts.list(uri)) {
      totals.files++;
      totals.bytes += file.sizeBytes;
      if (here.get(file.path) !== file.sizeBytes) await this.bringFile(uri, owner, file);
    }
  }

  private async bringFile(uri: string, owner: string, file: SourceFile): Promise<void> {
    const hash = createHash('sha256');
    let bytes = 0;
    const digesting = new Transform({
      transform(chunk: Buffer, _, done) {
        hash.update(chunk);
        bytes += chunk.length;
        done(null, chunk);
      },
    });
    const source = await this.artifacts.open(uri, file.path);
    const copied = pipeline(source, digesting);
    copied.catch(() => undefined); // the request fails with it, and says so
    const { statusCode, body } = await request(
      `${this.registry}/${owner}/artifacts/content?${new URLSearchParams({ path: file.path })}`,
      {
        method: 'PUT',
        body: digesting,
        headers: { 'content-type': 'application/octet-stream' },
        headersTimeout: 600_000,
      },
    );
    const answer = (await body.json()) as ArtifactDto & { message?: string };
    await copied;
    if (statusCode >= 300) throw new Error(`"${file.path}" was refused: ${answer.message}`);
    const sha256 = hash.digest('hex');
    if (answer.sha256 !== sha256 || answer.sizeBytes !== bytes || bytes !== file.sizeBytes)
      throw new Error(
        `"${file.path}" is not the same: ${file.sizeBytes} bytes were listed, ${bytes} with SHA-256 ${sha256} read, ${answer.sizeBytes} with ${answer.sha256} stored`,
      );
  }

  private async listHere(owner: string): Promise<Map<string, number>> {
    const here = new Map<string, number>();
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = `limit=200${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const { statusCode, body } = await request(`${this.registry}/${owner}/artifacts?${query}`);
      const page = (await body.json()) as {
        items: ArtifactDto[];
        nextCursor: string | null;
        message?: string;
      };
      if (statusCode !== 200) throw new Error(page.message);
      for (const { path, sizeBytes } of page.items) here.set(path, sizeBytes);
      cursor = page.nextCursor;
    }
    return here;
  }
}
