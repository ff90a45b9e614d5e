import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { startChatStack } from './support/chat.js';
import { eventually } from './support/gateway.js';

it('a row that keeps only digests keeps nothing that the model endpoint wrote', async () => {
  const server = createServer((request, response) => {
    request.resume();
    response.setHeader('content-type', 'application/json');
    response.end(
      '{"id":"IBAN","model":"IBAN","choices":[{"index":0,"message":{"content":"IBAN"},"finish_reason":"IBAN DE89"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stack = await startChatStack();
  await stack.rows.setModelEndpoint('evil', {
    replicas: [`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`],
  });
  await stack.serve('evil', { generate: { modelEndpoint: 'evil', model: 'small' } });
  await stack.database.client.query(`UPDATE endpoint SET payloads = 'hash' WHERE name = 'evil'`);
  await stack.database.client.query(
    `SELECT catena_record_change(workspace_id, 'endpoint', id) FROM endpoint WHERE name = 'evil'`,
  );
  const { rows } = await stack.database.client.query('SELECT seq FROM change_head');
  await eventually(async () => (await stack.gateway.metric('catena_snapshot_seq')) >= Number(rows[0].seq));
  const answer = await stack.post({
    model: 'evil',
    metadata: { a: 'IBAN' },
    messages: [{ role: 'user', content: 'IBAN' }],
  });
  await answer.text();
  const row = await stack.row(answer.headers.get('x-catena-inference-id'));
  server.closeAllConnections();
  server.close();
  await stack.close();
  expect(Object.entries(row).filter(([, value]) => JSON.stringify(value ?? null).includes('IBAN'))).toEqual(
    [],
  );
});
