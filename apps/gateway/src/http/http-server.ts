import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import {
  createServer,
  STATUS_CODES,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AllowedHosts } from '#libs/platform/access/allowed-hosts.js';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import { Drain } from './drain.js';
import { errorBody, GatewayError } from './gateway-error.js';
import { failRequest } from './respond.js';
import { Routes } from './routes.js';

/** How long clients and load balancers get to notice the end, before connections are closed under them. */
const NOTICE_MS = 1_000;
/** Longest time a connection without a complete request is kept open when the gateway stops. */
const SILENT_MS = 1_000;
const SWEEP_MS = 20;

/** `node:http` as it is: every layer on top of it costs a multiple of the gateway's own work per request. */
@Injectable()
export class HttpServer implements BeforeApplicationShutdown {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly hosts: AllowedHosts;
  private stopping = false;

  constructor(
    private readonly routes: Routes,
    private readonly drain: Drain,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    this.hosts = new AllowedHosts(settings);
    this.server = createServer(
      {
        noDelay: true,
        // Longer than the 60 s after which load balancers drop idle connections, so that they close first.
        keepAliveTimeout: 75_000,
        // Against slow senders: time for the headers, and for the whole request with its body.
        headersTimeout: 30_000,
        requestTimeout: 300_000,
        connectionsCheckingInterval: 5_000,
        maxHeaderSize: 16_384,
      },
      (request, response) => this.answer(request, response),
    );
    this.server.on('clientError', refuseMalformed);
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
  }

  /** @returns the base URL that is listened on, with the port the system gave when 0 was asked for. */
  async listen(): Promise<string> {
    const { CATENA_HOST: host, CATENA_GATEWAY_PORT: port } = this.settings;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    const bound = (this.server.address() as AddressInfo).port;
    return `http://${host.includes(':') ? `[${host}]` : host}:${bound}`;
  }

  /**
   * Stops accepting and lets the requests in flight end; what they write to is closed only after this. Before that,
   * for a moment, it still answers, with `connection: close` and not ready: a connection that is closed while a
   * request is on its way to it is a request lost.
   */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping = true;
    if (!this.server.listening) return;
    for (let waited = 0; waited < NOTICE_MS && this.sockets.size > 0; waited += SWEEP_MS)
      await sleep(SWEEP_MS);
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    // Connections that become idle while draining would otherwise live on for the keep-alive time.
    const sweep = setInterval(() => this.server.closeIdleConnections(), SWEEP_MS);
    // Node does not count one as idle that never sent anything, as clients open them in advance.
    const silent = setTimeout(() => {
      for (const socket of this.sockets) if (!responseOn(socket)) socket.destroy();
    }, SILENT_MS);
    const drainMs = this.settings.CATENA_DRAIN_TIMEOUT_MS;
    const limit = setTimeout(() => {
      this.logger.warn({ drainMs }, 'requests still in flight were cut at shutdown');
      this.drain.isOver = true;
      this.server.closeAllConnections();
    }, drainMs);
    await closed;
    // Node's server has closed before its connections have: without them what is cut would be told of its end by the
    // connections to replicas, which are closed next, and would blame these.
    while (this.sockets.size > 0) await sleep(1);
    clearInterval(sweep);
    clearTimeout(silent);
    clearTimeout(limit);
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    if (this.stopping) response.shouldKeepAlive = false;
    try {
      const { host, origin } = request.headers;
      if (!this.hosts.allows(host))
        throw new GatewayError(403, 'permission_error', 'host_not_allowed', AllowedHosts.refusal(host));
      if (!this.hosts.allowsOrigin(origin))
        throw new GatewayError(
          403,
          'permission_error',
          'host_not_allowed',
          AllowedHosts.refusalOfOrigin(origin),
        );
      const done = this.routes.dispatch(request, response);
      if (done) done.catch((error: unknown) => this.fail(request, response, error));
    } catch (error) {
      this.fail(request, response, error);
    }
  }

  private fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    failRequest(this.logger, request, response, error);
  }
}

/** The response a connection is busy with; Node's own field, for which there is no public one. */
function responseOn(socket: Socket): ServerResponse | undefined {
  return (socket as { _httpMessage?: ServerResponse | null })._httpMessage ?? undefined;
}

/** What Node's parser refused before it was a request. */
function refuseMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable || responseOn(socket)?.headersSent) {
    socket.destroy();
    return;
  }
  const refusal = malformed(error.code);
  const body = errorBody(refusal);
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\nconnection: close\r\n` +
      `content-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function malformed(code: string | undefined): GatewayError {
  const refuse = (status: number, name: string, message: string) =>
    new GatewayError(status, 'invalid_request_error', name, message);
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return refuse(431, 'headers_too_large', 'The request headers are larger than 16384 bytes; send fewer.');
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return refuse(413, 'chunk_extensions_too_large', 'The chunk extensions are too large; leave them out.');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return refuse(408, 'request_timeout', 'The request did not arrive in time; send it in one go.');
    case undefined:
    default:
      return refuse(400, 'malformed_request', 'This is not a valid HTTP/1.1 request.');
  }
}
