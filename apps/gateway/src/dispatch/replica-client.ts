import { request, type Agent, type Dispatcher } from 'undici';
import { readLoad, type ReportedLoad } from './load-metrics.js';

/** Of an exposition or a list of models; vLLM's metrics are about a tenth of it. */
const MAX_BYTES = 4 * 1024 * 1024;
/** Longest wait for a load: later it would be another one. */
const LOAD_TIMEOUT_MS = 1000;

/** What a server said when asked beside its work. */
interface Said {
  readonly status: number;
  /** Undefined where it is larger than anybody wants to know. */
  readonly body: string | undefined;
}

/** Asks a replica about itself. Redirects are not followed. */
export class ReplicaClient {
  /** vLLM, SGLang, llama.cpp and TGI serve these beside `/v1`, not below it. */
  private readonly root: string;
  /** It has no `/health`, as vendors have none: its list of models tells that it lives. */
  private lacksHealth = false;

  constructor(
    private readonly agent: Agent,
    private readonly baseUrl: string,
    private readonly timeoutMs: number,
    /** Names and values of headers, one after the other, of the moment. */
    private readonly headers: () => readonly string[],
  ) {
    this.root = baseUrl.replace(/\/v\d+$/, '');
  }

  /** Whether it answers. Any answer but 5xx will do: a refused credential is not its illness. @throws Error of the connection. */
  async isHealthy(): Promise<boolean> {
    if (!this.lacksHealth) {
      const { status } = await this.get(`${this.root}/health`);
      if (status < 400 || status >= 500) return status < 400;
      this.lacksHealth = true;
    }
    return (await this.get(`${this.baseUrl}/models`)).status < 500;
  }

  /** Ids of the models it serves, adapters among them; undefined where it does not tell. @throws Error of the connection. */
  async listModels(): Promise<ReadonlySet<string> | undefined> {
    const { status, body } = await this.get(`${this.baseUrl}/models`);
    if (status !== 200 || body === undefined) return undefined;
    const ids = modelIds(body);
    return ids.length > 0 ? new Set(ids) : undefined;
  }

  /** @returns undefined where it offers no metrics that can be read. @throws Error of the connection, or for 5xx. */
  async readLoad(): Promise<ReportedLoad | undefined> {
    const { status, body } = await this.get(
      `${this.root}/metrics`,
      Math.min(LOAD_TIMEOUT_MS, this.timeoutMs),
    );
    if (status >= 500) throw new Error(`/metrics answered ${status}`);
    return status === 200 && body !== undefined ? readLoad(body) : undefined;
  }

  private async get(url: string, timeoutMs = this.timeoutMs): Promise<Said> {
    const answer = await request(url, {
      dispatcher: this.agent,
      headers: [...this.headers()],
      signal: AbortSignal.timeout(timeoutMs),
    });
    return { status: answer.statusCode, body: await textOf(answer.body) };
  }
}

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

function modelIds(text: string): string[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return []; // 200 with a web page: it tells nothing
  }
  const data: unknown = (list as { data?: unknown } | null)?.data;
  if (!Array.isArray(data)) return [];
  return (data as { id?: unknown }[]).flatMap((model) => (typeof model?.id === 'string' ? [model.id] : []));
}
