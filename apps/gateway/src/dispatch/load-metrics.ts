/** What a model server says about its load. */
export interface ReportedLoad {
  /** Requests that wait inside it. */
  readonly waiting: number;
  /** Requests it generates for. */
  readonly running: number;
  /** 0…1; undefined where it does not say. */
  readonly kvCacheUsage: number | undefined;
}

type Meaning = 'waiting' | 'running' | 'kv';

/**
 * Which metric means what. vLLM: https://docs.vllm.ai/en/latest/usage/metrics/ (gpu_cache_usage_perc until 0.9),
 * SGLang: https://docs.sglang.io/references/production_metrics.html, TensorRT-LLM, llama.cpp (`--metrics`), TGI.
 */
const MEANINGS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ['vllm:num_requests_waiting', 'waiting'],
  ['vllm:num_requests_running', 'running'],
  ['vllm:kv_cache_usage_perc', 'kv'],
  ['vllm:gpu_cache_usage_perc', 'kv'],
  ['sglang:num_queue_reqs', 'waiting'],
  ['sglang:num_running_reqs', 'running'],
  ['sglang:token_usage', 'kv'],
  ['trtllm_num_requests_waiting', 'waiting'],
  ['trtllm_num_requests_running', 'running'],
  ['trtllm_kv_cache_utilization', 'kv'],
  ['llamacpp:requests_deferred', 'waiting'],
  ['llamacpp:requests_processing', 'running'],
  ['llamacpp:kv_cache_usage_ratio', 'kv'],
  ['tgi_queue_size', 'waiting'],
  ['tgi_batch_current_size', 'running'],
]);
/** First letters of all of them: most lines are passed over by one look. */
const BEGINNINGS = new Set([...MEANINGS.keys()].map((name) => name.charCodeAt(0)));

/**
 * Reads the load out of a Prometheus exposition. Several engines behind one server (data parallelism) are summed,
 * their caches averaged.
 * @returns undefined where no known server tells its queue.
 */
export function readLoad(text: string): ReportedLoad | undefined {
  let waiting: number | undefined;
  let running: number | undefined;
  let kvSum = 0;
  let kvCount = 0;
  for (let start = 0; start < text.length;) {
    let end = text.indexOf('\n', start);
    if (end === -1) end = text.length;
    if (BEGINNINGS.has(text.charCodeAt(start))) {
      const sample = readSample(text.slice(start, end));
      if (sample?.meaning === 'waiting') waiting = (waiting ?? 0) + sample.value;
      else if (sample?.meaning === 'running') running = (running ?? 0) + sample.value;
      else if (sample) {
        kvSum += sample.value;
        kvCount++;
      }
    }
    start = end + 1;
  }
  if (waiting === undefined && running === undefined) return undefined;
  return {
    waiting: waiting ?? 0,
    running: running ?? 0,
    kvCacheUsage: kvCount === 0 ? undefined : Math.min(1, kvSum / kvCount),
  };
}

/** `name{labels} value [timestamp]`; label values may hold blanks and braces. */
function readSample(line: string): { meaning: Meaning; value: number } | undefined {
  const nameEnd = line.search(/[{\s]/);
  const meaning = MEANINGS.get(line.slice(0, nameEnd));
  if (!meaning) return undefined;
  const rest = line.slice(line[nameEnd] === '{' ? line.lastIndexOf('}') + 1 : nameEnd).trim();
  const value = Number(rest.split(/\s+/, 1)[0]);
  // NaN is what some gauges hold before their first value.
  return Number.isFinite(value) && value >= 0 ? { meaning, value } : undefined;
}
