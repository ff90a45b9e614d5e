import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly at: number;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly body: any;
}

/** How the receiver answers its n-th request, from 0; it need not answer at all. */
export type Answering = (response: ServerResponse, received: Received, index: number) => void;

/** A receiver of webhooks on a port of its own. */
export class Receiver {
  readonly received: Received[] = [];
  answering: Answering = (response) => response.writeHead(204).end();
  private readonly server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      const { headers, url = '' } = request;
      const received = {
        at: Date.now(),
        url,
        headers,
        text,
        body: text === '' ? undefined : JSON.parse(text),
      };
      this.answering(response, received, this.received.push(received) - 1);
    });
  });
  url = '';

  static async start(port = 0): Promise<Receiver> {
    const receiver = new Receiver();
    await new Promise<void>((resolve, reject) =>
      receiver.server.once('error', reject).listen(port, '127.0.0.1', resolve),
    );
    receiver.url = `http://127.0.0.1:${receiver.port}`;
    return receiver;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Waits until this many requests have come. */
  async has(count: number, timeoutMs = 15_000): Promise<Received[]> {
    return eventually(() => (this.received.length >= count ? this.received : undefined), timeoutMs);
  }
}

/** Waits until the question has an answer. */
export async function eventually<T>(
  ask: () => T | undefined | Promise<T | undefined>,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${String(ask)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
