import { setTimeout as sleep } from 'node:timers/promises';
import { assertFree, freePort } from '../free-port.js';
import type { Addresses, Launcher } from '../launcher.js';
import { readResults, resultsText, sendFeedback, startAbTest } from './ab-test.js';
import { comparisonTable, readComparison } from './comparison.js';
import { progress } from './progress.js';
import { RegistryClient } from './registry-client.js';
import { sendTickets } from './send-tickets.js';
import { MODEL, NAMES, setUp } from './setup.js';
import { TICKETS } from './tickets.js';

const REPLICAS = 2;

/**
 * The main job on real text: two chain versions, one endpoint, a hundred tickets, and which version was better.
 * Uses only the public APIs. Can be run again on the same data.
 * @param simulatorPort port of the first simulator; 0 takes free ones.
 */
export async function runDemo(
  launcher: Launcher,
  addresses: Addresses,
  simulatorPort: number,
): Promise<void> {
  const registry = new RegistryClient(addresses.registry, addresses.environment['CATENA_ADMIN_KEY']);
  console.log(`\nThe models of this demo are simulators: no GPU, no real model, invented answers.`);
  const replicas: string[] = [];
  for (let index = 0; index < REPLICAS; index++)
    replicas.push(await startSimulator(launcher, addresses, simulatorPort && simulatorPort + index, index));
  const versions = await setUp(registry, replicas);
  console.log(
    `Registered: prompt ${NAMES.prompt}, chain versions ${versions.map(({ name, version }) => `${name}@${version}`).join(' and ')}, ` +
      `model endpoint ${NAMES.modelEndpoint} with ${REPLICAS} replicas, endpoint ${NAMES.endpoint} split 50/50.`,
  );
  await served(addresses.gateway, replicas);

  const test = await startAbTest(registry);
  console.log(`Started A/B test ${test}: is v2 better than v1?`);
  console.log(`Sending ${TICKETS.length} support tickets through the gateway:`);
  const from = new Date();
  const outcome = await sendTickets(addresses.gateway, TICKETS, progress(TICKETS.length, 'tickets answered'));
  const groups = await readComparison(registry, from, outcome.sent - outcome.failed);
  console.log(`\n${comparisonTable(groups, outcome)}`);

  await sendFeedback(addresses.gateway, outcome.judgements);
  const results = await readResults(
    registry,
    test,
    groups.reduce((sum, { requests }) => sum + requests, 0),
    outcome.judgements,
  );
  console.log(
    `\nFeedback was sent for ${outcome.judgements.length} answers. The A/B test now says:\n${resultsText(results)}`,
  );
  sayWhatNow(addresses);
}

async function startSimulator(
  launcher: Launcher,
  addresses: Addresses,
  wanted: number,
  index: number,
): Promise<string> {
  const port =
    wanted === 0
      ? 0
      : await assertFree(wanted, '127.0.0.1', 'CATENA_SIMULATOR_PORT').then(
          () => wanted,
          () => freePort(),
        );
  const flags = [
    '--host',
    '127.0.0.1',
    '--port',
    String(port),
    '--model',
    MODEL,
    '--max-num-seqs',
    '4',
    '--json-errors',
    '0.2',
  ];
  const ready = (await launcher.startExtra(
    `model simulator ${index + 1}`,
    'model-simulator',
    flags,
    // A simulator has no business with the keys and URLs of the stack.
    { PATH: addresses.environment['PATH'] },
  )) as { url: string };
  return `${ready.url}/v1`;
}

/** Waits until the gateway has heard of the endpoint and of its replicas, which may have moved since the last demo. */
async function served(gateway: string, replicas: readonly string[]): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const response = await fetch(`${gateway}/v1/resolve/${NAMES.endpoint}?unit=demo`);
    await response.arrayBuffer();
    if (response.ok) break;
    if (tries === 99)
      throw new Error(`The gateway does not serve ${NAMES.endpoint}: status ${response.status}.`);
    await sleep(50);
  }
  // Of replicas the gateway tells nothing; a change is there within 100 ms.
  if (replicas.length > 0) await sleep(300);
}

function sayWhatNow({ registry, gateway }: Addresses): void {
  const json = `-H 'content-type: application/json'`;
  console.log(`
${NAMES.chain}@1 asks for JSON in words and only checks it; @2 makes the schema a contract: what breaks it is repaired, or asked
for again, and no caller gets it. What that costs is in its tokens. Each request's rungs: GET ${registry}/api/v1/inferences/{id}
Latency, errors and answers come from the simulator, which guesses the action from words that the ticket shares with
its name: "right action" says nothing about the versions. For a real comparison, serve a model under the name
${MODEL} and point the model endpoint at it:

  vllm serve Qwen/Qwen3-8B --served-model-name ${MODEL}      # Ollama: ollama cp llama3.2 ${MODEL}, port 11434
  curl -X PATCH ${registry}/api/v1/model-endpoints/${NAMES.modelEndpoint} ${json} -d '{"replicas":[{"baseUrl":"http://127.0.0.1:8000/v1"}],"structuredOutput":"response_format"}'

OpenAI: add its model and your key ("models":["${MODEL}","gpt-4.1-mini"],"credential":"sk-…") and register a chain
version that names the model. Ask the endpoint yourself:

  curl ${gateway}/v1/chat/completions ${json} -H 'x-catena-unit: c-1001' -d '{"model":"${NAMES.endpoint}","messages":[{"role":"user","content":"I was charged twice, TX-48213."}],"metadata":{"variables":{"company":"Lindenpay"}}}'
  curl '${registry}/api/v1/endpoints/${NAMES.endpoint}/ab-tests?status=running'      # …/{id}/results, as above`);
}
