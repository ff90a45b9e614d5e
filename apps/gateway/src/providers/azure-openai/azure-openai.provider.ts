import { OPENAI } from '../openai/openai.provider.js';
import type { Provider } from '../provider.js';

/**
 * OpenAI's models at Azure, by the dated API: the deployment stands in the path, the version in the query. The base URL
 * is `https://{resource}.openai.azure.com/openai`, the model is the name of the deployment. Azure's undated API,
 * `/openai/v1`, is spoken to as `openai`.
 * https://learn.microsoft.com/en-us/azure/ai-foundry/openai/reference#chat-completions
 */
export const AZURE_OPENAI: Provider = {
  ...OPENAI,
  // Of models, where requests name deployments.
  listsModels: false,
  apiVersion: '2024-10-21',
  path: (base, model, apiVersion) => inDeployment(base, model, 'chat/completions', apiVersion),
  embeddingsPath: (base, model, apiVersion) => inDeployment(base, model, 'embeddings', apiVersion),
  headers: (credential) => (credential === undefined ? [] : ['api-key', credential]),
};

function inDeployment(base: string, model: string, what: string, apiVersion: string): string {
  return `${base}/deployments/${encodeURIComponent(model)}/${what}?api-version=${encodeURIComponent(apiVersion)}`;
}
