import { Injectable } from '@nestjs/common';
import { sendArtifact } from '../../artifacts/artifact-download.js';
import { guessedType } from '../../artifacts/guessed-type.js';
import { ArtifactService } from '../../artifacts/artifact.service.js';
import type { DirectoryEntry } from '../../artifacts/directory-rows.js';
import { ExternalStore } from '../../artifacts/external-store.js';
import type { Caller } from '../../http/caller.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { Exchange } from '../protocol/mlflow-routes.js';
import { locate, proxiedPath } from './artifact-location.js';

/** Reads artifacts by the URI that clients are told: this server's own, or an S3 URI of an experiment. */
@Injectable()
export class ArtifactReader {
  constructor(
    private readonly artifacts: ArtifactService,
    private readonly external: ExternalStore,
  ) {}

  /** One level. @param root of a run or model. @param path inside; '' for the root. */
  async list(caller: Caller, root: string, path: string): Promise<DirectoryEntry[]> {
    const proxied = proxiedPath(root);
    if (proxied === undefined) return this.external.list(joined(root, path));
    const location = locate(joined(proxied, path));
    return this.artifacts.readDirectory(caller, location.owner, location.path);
  }

  /** Answers with the bytes of a file. */
  async send(caller: Caller, root: string, path: string, { request, response }: Exchange): Promise<void> {
    const proxied = proxiedPath(root);
    if (proxied === undefined) {
      const uri = joined(root, path);
      const found = await this.external.find(uri);
      if (!found) throw new MlflowError('RESOURCE_DOES_NOT_EXIST', `No such artifact: '${path}'`);
      const sha256 = found.etag.replaceAll('"', ''); // the store's tag, as good as ours
      const shown = { path, sha256, sizeBytes: found.sizeBytes, contentType: guessedType(path) };
      await sendArtifact(request, response, shown, (range) => this.external.open(uri, range));
      return;
    }
    const location = locate(joined(proxied, path));
    const artifact = await this.artifacts.get(caller, location.owner, location.path);
    await sendArtifact(request, response, artifact, (range) => this.artifacts.open(artifact, range));
  }
}

function joined(root: string, path: string): string {
  const base = root.replace(/\/+$/, '');
  return path === '' ? base : `${base}/${path}`;
}
