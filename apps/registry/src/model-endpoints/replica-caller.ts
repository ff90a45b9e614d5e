import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Agent, Dispatcher } from 'undici';
import { credentialContext, SecretBox } from '#libs/platform/secrets/secret-box.js';
import type { Caller } from '../http/caller.js';
import { ModelEndpoint } from './model-endpoint.entity.js';

export interface ReplicaRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: object;
}

/** What a replica answered, or why it did not, in words that repeat nothing of what was sent. */
export type ReplicaSaid = { readonly status: number; readonly text: string } | { readonly error: string };

const CONNECT_TIMEOUT_MS = 3_000;
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Calls replicas on behalf of the registry. Their addresses are the operator's, as for gateways; nothing is asked of any
 * other: redirects are not followed, and no proxy of the environment is used.
 */
@Injectable()
export class ReplicaCaller implements OnApplicationShutdown {
  private agent: Agent | undefined;

  constructor(
    private readonly database: DataSource,
    private readonly secrets: SecretBox,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await this.agent?.destroy();
  }

  /** What the replicas of a model endpoint know their callers by. @param id of the model endpoint. */
  async credentialOf({ workspaceId }: Caller, id: string): Promise<string | undefined> {
    const { credentialCiphertext: ciphertext, credentialKeyId: keyId } =
      await this.database.manager.findOneOrFail(ModelEndpoint, { where: { id, workspaceId } });
    if (ciphertext === null || keyId === null) return undefined;
    return this.secrets.open({ ciphertext, keyId }, credentialContext(id));
  }

  /** Never throws: a replica that does not answer is an answer. */
  async call(
    url: string,
    { method, headers, body }: ReplicaRequest,
    timeoutMs: number,
  ): Promise<ReplicaSaid> {
    // Loaded when it is needed: it is several megabytes.
    const { Agent, request } = await import('undici');
    this.agent ??= new Agent({
      pipelining: 1,
      keepAliveTimeout: 1_000,
      connect: { timeout: CONNECT_TIMEOUT_MS },
    });
    const limit = AbortSignal.timeout(timeoutMs);
    try {
      const answer = await request(url, {
        method,
        dispatcher: this.agent,
        headers: {
          accept: 'application/json',
          ...(body && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body && { body: JSON.stringify(body) }),
        signal: limit,
      });
      const text = await textOf(answer.body);
      return text === undefined
        ? { error: `its answer is larger than ${MAX_BYTES} bytes` }
        : { status: answer.statusCode, text };
    } catch (error) {
      return {
        error: limit.aborted ? `no answer within ${timeoutMs} ms` : `it cannot be reached (${codeOf(error)})`,
      };
    }
  }
}

/** @returns undefined for more than anyone says. */
async function textOf(body: Dispatcher.ResponseData['body']): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The code alone: a message may repeat what was sent. */
function codeOf(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException;
  return code ?? name;
}
