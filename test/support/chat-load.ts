import { Agent, request, type IncomingMessage } from 'node:http';
import { say } from './chat.js';

export interface Seen {
  readonly id: string;
  /** The answer arrived to its last byte. */
  readonly complete: boolean;
  readonly streamed: boolean;
}

/** Callers that ask a gateway again and again, streamed and not, until they are told to stop. */
export class ChatLoad {
  /** Every inference id seen in an answer's head. */
  readonly seen = new Map<string, Seen>();
  sent = 0;
  private stopped = false;
  private readonly agent = new Agent({ keepAlive: true });
  private readonly callers: Promise<void>[];

  /** @param url asked before each request, for the gateway's port changes over its restarts. */
  constructor(
    private readonly url: () => string | undefined,
    callers: number,
  ) {
    this.callers = Array.from({ length: callers }, (_, n) => this.run(n));
  }

  get completed(): string[] {
    return [...this.seen.values()].filter((seen) => seen.complete).map((seen) => seen.id);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.callers);
    this.agent.destroy();
  }

  private async run(caller: number): Promise<void> {
    for (let n = 0; !this.stopped; n++) {
      const url = this.url();
      if (url === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
      else await this.ask(url, (caller + n) % 2 === 0);
    }
  }

  private ask(url: string, streamed: boolean): Promise<void> {
    this.sent++;
    return new Promise((resolve) => {
      const call = request(`${url}/v1/chat/completions`, { method: 'POST', agent: this.agent }, (response) =>
        this.read(response, streamed, resolve),
      );
      call.on('error', () => resolve());
      call.end(JSON.stringify(say('under load', { stream: streamed, max_tokens: 8 })));
    });
  }

  private read(response: IncomingMessage, streamed: boolean, done: () => void): void {
    const id = response.headers['x-catena-inference-id'] as string | undefined;
    let text = '';
    const note = (complete: boolean) => id && this.seen.set(id, { id, complete, streamed });
    note(false);
    response.setEncoding('utf8').on('data', (piece) => (text += piece));
    response.on('end', () =>
      note(streamed ? text.includes('data: [DONE]') : JSON.parse(text).choices?.length === 1),
    );
    response.on('error', () => undefined);
    response.on('close', done);
  }
}
