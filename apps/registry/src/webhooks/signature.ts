import { createHmac } from 'node:crypto';

const STANDARD_PREFIX = 'whsec_';

/**
 * Headers that let a receiver recognise and check a delivery, in the two dialects at once.
 * - Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`. A secret `whsec_…` is base64.
 *   https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 * - MLflow: `X-MLflow-Delivery-Id`, `X-MLflow-Timestamp`, `X-MLflow-Signature`. The secret's text is the key.
 * @param id stays the same over retries.
 * @param timestamp of this attempt, in seconds.
 */
export function deliveryHeaders(
  id: string,
  timestamp: number,
  body: string,
  secret: string | null,
): Record<string, string> {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'user-agent': 'Catena',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'x-mlflow-delivery-id': id,
    'x-mlflow-timestamp': String(timestamp),
  };
  if (secret === null) return headers;
  const sign = (key: Buffer): string =>
    `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  headers['webhook-signature'] = sign(standardKey(secret));
  headers['x-mlflow-signature'] = sign(Buffer.from(secret, 'utf8'));
  return headers;
}

function standardKey(secret: string): Buffer {
  return secret.startsWith(STANDARD_PREFIX)
    ? Buffer.from(secret.slice(STANDARD_PREFIX.length), 'base64')
    : Buffer.from(secret, 'utf8');
}

/** Context under which the secret of a webhook is sealed: it opens in that webhook's row only. */
export function secretContext(webhookId: string): string {
  return `webhook:${webhookId}`;
}
