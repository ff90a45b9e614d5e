import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Server } from './server.js';

const CHATTING = 6;
const JUDGING = 2;

/** Callers that ask a gateway again and again, and judge what they were answered, until they are told to stop. */
export class Load {
  /** Inferences of complete answers. */
  readonly answered: string[] = [];
  /** Event ids of feedback that was accepted. */
  readonly judged: string[] = [];
  /** Everything else, by status. */
  readonly refused = new Map<string, number>();
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>[];

  constructor(private readonly gateway: Server) {
    this.running = [
      ...Array.from({ length: CHATTING }, () => this.repeat(() => this.chat())),
      ...Array.from({ length: JUDGING }, () => this.repeat(() => this.judge())),
    ];
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running);
  }

  private async repeat(ask: () => Promise<void>): Promise<void> {
    while (!this.stopping.signal.aborted) {
      await ask();
      await sleep(10);
    }
  }

  private async chat(): Promise<void> {
    const response = await post(this.gateway, '/v1/chat/completions', chatBody());
    if (response.ok) this.answered.push(response.headers.get('x-catena-inference-id')!);
    else this.refuse(String(response.status));
  }

  private async judge(): Promise<void> {
    const inferenceId = this.answered.at(-1);
    if (inferenceId === undefined) return;
    const eventId = randomUUID();
    const response = await post(this.gateway, '/v1/feedback', {
      eventId,
      inferenceId,
      name: 'thumbs',
      value: true,
    });
    if (response.ok) this.judged.push(eventId);
    else this.refuse(`feedback ${response.status}`);
  }

  private refuse(what: string): void {
    this.refused.set(what, (this.refused.get(what) ?? 0) + 1);
  }
}

export const chatBody = (content = 'Hello') => ({
  model: 'chat',
  max_tokens: 4,
  messages: [{ role: 'user', content }],
});

/** An answer that has been read to its end. */
export async function post(
  server: Server,
  path: string,
  body: object,
): Promise<Response & { text_: string }> {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return Object.assign(response, { text_: await response.text() });
}
