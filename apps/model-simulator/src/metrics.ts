import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Engine } from './engine.js';

/** vLLM's buckets (vllm/v1/metrics/loggers.py), in seconds. */
const TTFT_BUCKETS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
  2560,
];
const LATENCY_BUCKETS = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];
const ITL_BUCKETS = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];

export interface FinishedRequest {
  readonly promptTokens: number;
  /** Of them, those that were in the prefix cache. */
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  readonly reason: 'stop' | 'length' | 'abort';
  /** Seconds; undefined when it never came that far. */
  readonly timeToFirstToken: number | undefined;
  readonly queueTime: number;
  readonly total: number;
}

/** The metrics of one replica under the names vLLM 0.10 and later give them; all labelled with model and engine. */
export class Metrics {
  private readonly registry = new Registry();
  private readonly labels: { model_name: string; engine: string };
  private readonly promptTokens: Counter;
  private readonly generationTokens: Counter;
  private readonly prefixQueries: Counter;
  private readonly prefixHits: Counter;
  private readonly success: Counter;
  private readonly ttft: Histogram;
  private readonly itl: Histogram;
  private readonly e2e: Histogram;
  private readonly queueTime: Histogram;

  constructor(model: string, engine: Engine, kvCacheTokens: number) {
    this.labels = { model_name: model, engine: '0' };
    this.gauge('vllm:num_requests_running', 'Requests in model execution batches.', () => engine.running);
    this.gauge('vllm:num_requests_waiting', 'Requests waiting to be processed.', () => engine.waiting);
    this.gauge('vllm:kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent.', () =>
      Math.min(1, engine.cachedTokens / kvCacheTokens),
    );
    this.promptTokens = this.counter('vllm:prompt_tokens_total', 'Prefill tokens processed.');
    this.generationTokens = this.counter('vllm:generation_tokens_total', 'Generation tokens processed.');
    this.prefixQueries = this.counter('vllm:prefix_cache_queries_total', 'Prompt tokens looked up.');
    this.prefixHits = this.counter('vllm:prefix_cache_hits_total', 'Prompt tokens found in the cache.');
    this.success = this.counter('vllm:request_success_total', 'Finished requests.', ['finished_reason']);
    this.ttft = this.histogram('vllm:time_to_first_token_seconds', 'Time to first token.', TTFT_BUCKETS);
    this.itl = this.histogram('vllm:inter_token_latency_seconds', 'Time between tokens.', ITL_BUCKETS);
    this.e2e = this.histogram('vllm:e2e_request_latency_seconds', 'Request latency.', LATENCY_BUCKETS);
    this.queueTime = this.histogram('vllm:request_queue_time_seconds', 'Time in the queue.', LATENCY_BUCKETS);
  }

  observe(request: FinishedRequest): void {
    const { labels } = this;
    this.success.inc({ ...labels, finished_reason: request.reason });
    this.generationTokens.inc(labels, request.generatedTokens);
    this.queueTime.observe(labels, request.queueTime);
    this.e2e.observe(labels, request.total);
    if (request.timeToFirstToken === undefined) return;
    this.promptTokens.inc(labels, request.promptTokens);
    this.prefixQueries.inc(labels, request.promptTokens);
    this.prefixHits.inc(labels, request.cachedTokens);
    this.ttft.observe(labels, request.timeToFirstToken);
    if (request.generatedTokens > 1)
      this.itl.observe(labels, (request.total - request.timeToFirstToken) / (request.generatedTokens - 1));
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }

  private gauge(name: string, help: string, read: () => number): void {
    const { labels } = this;
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames: ['model_name', 'engine'],
      registers: [this.registry],
      collect: () => gauge.set(labels, read()),
    });
  }

  private counter(name: string, help: string, more: readonly string[] = []): Counter {
    const counter = new Counter({
      name,
      help,
      labelNames: ['model_name', 'engine', ...more],
      registers: [this.registry],
    });
    if (more.length === 0) counter.inc(this.labels, 0);
    return counter;
  }

  private histogram(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({
      name,
      help,
      buckets,
      labelNames: ['model_name', 'engine'],
      registers: [this.registry],
    });
  }
}
