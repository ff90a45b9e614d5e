import { MlflowError } from '../protocol/mlflow-error.js';

/**
 * What MLflow's clients are told of a URL that no webhook can have; the native service checks the rest.
 * @throws MlflowError. The message does not repeat the URL, which may hold a password.
 */
export function checkUrlInMlflowWords(url: string): void {
  if (url.trim() === '') throw invalid('Webhook URL cannot be empty or just whitespace.');
  if (!URL.canParse(url)) throw invalid('Invalid webhook URL: it must be an http or https URL.');
  const scheme = new URL(url).protocol.slice(0, -1);
  if (scheme !== 'http' && scheme !== 'https')
    throw invalid(`Invalid webhook URL scheme: '${scheme}'. Allowed schemes are: http, https.`);
}

const invalid = (message: string) => new MlflowError('INVALID_PARAMETER_VALUE', message);
