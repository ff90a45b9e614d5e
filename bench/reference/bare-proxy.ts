/**
 * The reference for the gateway: node:http in, undici `dispatch` out, and nothing else. Bodies are buffered on the way in, as a
 * gateway must, and passed through on the way out; the client going away aborts the upstream request.
 */
import { createServer, type ServerResponse } from 'node:http';
import { Pool, type Dispatcher } from 'undici';

const upstream = new Pool(process.env['UPSTREAM']!, { connections: 256, pipelining: 1 });

class Handler implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined;

  constructor(private readonly response: ServerResponse) {}

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    this.response.once('close', this.closed);
    this.response.on('drain', this.drained);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    const kept: Record<string, string | string[]> = {};
    for (const name of ['content-type', 'content-length'])
      if (headers[name] !== undefined) kept[name] = headers[name];
    this.response.writeHead(status, kept);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.response.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.response.end();
  }

  onResponseError(): void {
    this.response.destroy();
  }

  private readonly closed = (): void => {
    if (!this.response.writableEnded) this.controller?.abort(new Error('client went away'));
  };

  private readonly drained = (): void => {
    this.controller?.resume();
  };
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    upstream.dispatch(
      {
        path: request.url!,
        method: 'POST',
        headers: ['content-type', 'application/json'],
        body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks),
      },
      new Handler(response),
    );
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(`http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`);
});
process.once('disconnect', () => process.exit(0));
