import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What it does with a request: answer, answer this status, or keep it waiting. */
type Manner = 'ok' | 'hang' | number;

/** A model server of one page whose moods can be set: for tests of who is asked, not of what is said. */
export class FakeReplica {
  chat: Manner = 'ok';
  health: Manner = 'ok';
  /** Prometheus text; undefined: 404. */
  metrics: string | undefined;
  metricsHang = false;
  /** Listed models; undefined: 404. */
  models: readonly string[] | undefined = ['small'];
  /** Bodies of the chat completions that came. */
  readonly asked: any[] = [];
  /** Requests for anything else, by path. */
  readonly looked: string[] = [];
  private readonly held = new Set<ServerResponse>();
  private server: Server | undefined;
  private port = 0;

  static async start(): Promise<FakeReplica> {
    const replica = new FakeReplica();
    await replica.listen();
    return replica;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/v1`;
  }

  /** Requests it keeps waiting. */
  get holding(): number {
    return this.held.size;
  }

  /** On the port it had before, too. */
  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      this.handle(request, response).catch(() => response.destroy());
    });
    server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve, reject) =>
      server.once('error', reject).listen(this.port, '127.0.0.1', resolve),
    );
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
  }

  /** As a process that is killed: connections break, and new ones are refused. */
  async die(): Promise<void> {
    const { server } = this;
    if (!server) return;
    this.server = undefined;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  /** Answers those it kept waiting. */
  letGo(): void {
    for (const response of this.held) answer(response);
    this.held.clear();
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const path = request.url!;
    if (path === '/v1/chat/completions') {
      this.asked.push(JSON.parse(text));
      this.behave(this.chat, response);
      return;
    }
    this.looked.push(path);
    if (path === '/health') this.behave(this.health, response);
    else if (path === '/metrics' && this.metricsHang) return;
    else if (path === '/metrics' && this.metrics !== undefined) response.end(this.metrics);
    else if (path === '/v1/models' && this.models)
      response.end(
        JSON.stringify({ object: 'list', data: this.models.map((id) => ({ id, object: 'model' })) }),
      );
    else response.writeHead(404).end();
  }

  private behave(manner: Manner, response: ServerResponse): void {
    if (manner === 'ok') answer(response);
    else if (manner === 'hang') {
      this.held.add(response);
      response.once('close', () => this.held.delete(response));
    } else response.writeHead(manner).end('{"error":{"message":"as told"}}');
  }
}

function answer(response: ServerResponse): void {
  response.setHeader('content-type', 'application/json');
  response.end(
    '{"id":"c","object":"chat.completion","created":1,"model":"small","choices":[{"index":0,"message":{"role":"assistant","content":"Yes."},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}',
  );
}
