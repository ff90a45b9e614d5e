import { describe, expect, it } from 'vitest';
import { readLoad } from './load-metrics.js';

describe('readLoad', () => {
  it.each<[string, string, object]>([
    [
      'vLLM since 0.10',
      `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25`,
      { running: 3, waiting: 2, kvCacheUsage: 0.25 },
    ],
    [
      'vLLM before',
      'vllm:num_requests_running{model_name="m"} 1.0\nvllm:num_requests_waiting{model_name="m"} 0.0\nvllm:gpu_cache_usage_perc{model_name="m"} 0.9\n',
      { running: 1, waiting: 0, kvCacheUsage: 0.9 },
    ],
    [
      'SGLang',
      'sglang:num_running_reqs{model_name="a b} c"} 4\r\nsglang:num_queue_reqs{model_name="a"} 7\r\nsglang:token_usage{model_name="a"} 0.5\r\n',
      { running: 4, waiting: 7, kvCacheUsage: 0.5 },
    ],
    [
      'TensorRT-LLM',
      'trtllm_num_requests_running 1\ntrtllm_num_requests_waiting 2\ntrtllm_kv_cache_utilization 0.125',
      { running: 1, waiting: 2, kvCacheUsage: 0.125 },
    ],
    [
      'llama.cpp, old and new',
      'llamacpp:requests_processing 1\nllamacpp:requests_deferred 5\nllamacpp:kv_cache_usage_ratio 0.5',
      { running: 1, waiting: 5, kvCacheUsage: 0.5 },
    ],
    [
      'TGI',
      'tgi_queue_size 12\ntgi_batch_current_size 8 1700000000000',
      { running: 8, waiting: 12, kvCacheUsage: undefined },
    ],
  ])('knows the names of %s', (_server, text, load) => {
    expect(readLoad(text)).toEqual(load);
  });

  it('sums the engines of one server and averages their caches', () => {
    const text = [0, 1]
      .flatMap((engine) => [
        `vllm:num_requests_waiting{engine="${engine}"} ${engine + 1}`,
        `vllm:num_requests_running{engine="${engine}"} 10`,
        `vllm:kv_cache_usage_perc{engine="${engine}"} ${engine === 0 ? 0.25 : 0.75}`,
      ])
      .join('\n');
    expect(readLoad(text)).toEqual({ waiting: 3, running: 20, kvCacheUsage: 0.5 });
  });

  it('says nothing where no queue is told, and passes over what is no number', () => {
    expect(readLoad('')).toBeUndefined();
    expect(readLoad('<html>not found</html>')).toBeUndefined();
    expect(readLoad('process_cpu_seconds_total 4\nvllm:kv_cache_usage_perc 0.5')).toBeUndefined();
    expect(readLoad('vllm:num_requests_waiting NaN\nvllm:num_requests_running 1')).toEqual({
      waiting: 0,
      running: 1,
      kvCacheUsage: undefined,
    });
  });
});
